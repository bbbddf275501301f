"""One run: python -m tools.contrastive.training JOB. Prints its record as a JSON line.

A job is a JSON object: names of case and arm, seed, folder of artifacts and weights, ms
of the arm's step, the budget in seconds, and whether uses are counted and the way is
noted, too. Seconds are counted by these ms, so that other work on the machine does not
matter. One thread; LiteRT, and NumPy for the probes.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import time

import numpy as np

from tflite_odl import streams
from tflite_odl.host import probe
from tflite_odl.host.session import Session
from tools.contrastive import cases
from tools.contrastive.uses import Counter

SHARES = (0.01, 0.1, 1.0)
POINTS = 5
# Rows of both splits, for the curve; the last figures are of all of them.
CURVE_ROWS = 2000


def main(text: str) -> None:
    job, start = json.loads(text), time.perf_counter()
    case = cases.CASES[job["case"]]
    arm = next(a for a in case.arms if a.name == job["arm"])
    folder = pathlib.Path(job["folder"])
    with Session(folder / arm.artifact, threads=1) as session:
        with np.load(folder / f"weights-{job['seed']}.npz") as weights:
            state = session.state(include_buffers=True)
            random = np.array([job["seed"], 0], np.int32)
            session.load_state({**state, **weights, "random": random})
        found = Run(session, case, arm, job).train()
    times = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time()}
    print(json.dumps({**found, **times}))


class Run:
    """A session under training, and what is noted on the way."""

    def __init__(self, session, case, arm, job) -> None:
        self.session, self.case, self.arm, self.job = session, case, arm, job
        data = streams.open(case.dataset)
        self.train_split, self.test = data.train, data.test
        if case.rows:
            rows = np.random.default_rng(0).permutation(len(data.train))[: case.rows]
            group = None if data.train.group is None else data.train.group[rows]
            self.train_split = streams.Split(
                data.train.x[rows], data.train.y[rows], group
            )
        self.steps = 0
        self.shown: list[np.ndarray] = []
        self.counter = self._counter() if job["counts"] and arm.trains else None

    def _counter(self) -> Counter:
        config = self.session.manifest.method["config"]
        notes = pathlib.Path(self.job["folder"]) / f"{self.arm.artifact}.json"
        drawn = config["replay"] or min(self.arm.batch, config["buffer"])
        first = config["minibatch"] == "buffer_and_new"
        return Counter(json.loads(notes.read_text())["draw"], drawn, first)

    @property
    def seconds(self) -> float:
        return self.steps * self.job["ms"] / 1e3

    @property
    def items(self) -> int:
        return self.steps * self.arm.batch

    def train(self) -> dict:
        """Trains for one pass and until the budget is spent; returns the record."""
        found: dict = {"curve": [], "one_pass": None, "linear": None}
        if self.job["counts"]:
            found["curve"].append(self._point())
        if self.arm.trains:
            self._learn(found)
        else:
            probed = self._probed()
            found |= {"one_pass": probed, **probed}
        counts = self.counter and probe.uses(self.counter.counts)
        if counts:
            found["uses"] = {
                "never": counts.never,
                "gini": counts.gini,
                "largest": counts.largest,
                "histogram": counts.histogram.tolist(),
            }
        return {**found, "class_entropy": self._entropy()}

    def _learn(self, found: dict) -> None:
        """Notes what probes say after one pass, and when the budget is spent."""
        order = self.arm.order or self.case.order
        batches = self.train_split.batches(self.arm.batch, self.job["seed"], 0, order)
        while not (found["one_pass"] and found["linear"]):
            x, y = next(batches)
            self.shown.append(y)
            self._step(x)
            share = self.seconds / self.job["budget"]
            points = len(found["curve"])
            if points and points / POINTS - 1e-9 <= share <= 1 + 1 / POINTS:
                found["curve"].append(self._point())
            if not found["one_pass"] and self.items >= len(self.train_split):
                found["one_pass"] = self._probed()
            if not found["linear"] and share >= 1 - 1e-9:
                found |= self._probed()

    def _step(self, x: np.ndarray) -> None:
        before = self.session.state(include_buffers=True) if self.counter else None
        metrics = self.session.train(x=x)
        if not np.isfinite(metrics["loss"]).all():
            raise ValueError(f"the loss is {metrics['loss']} at step {self.steps}")
        self.steps += 1
        if self.counter:
            after = self.session.state(include_buffers=True)
            self.counter.note(before, after)

    def _entropy(self) -> float | None:
        """Returns the bits of the classes of what is in the buffer at the end."""
        state = self.session.state(include_buffers=True)
        if "buffer_flags" not in state or not self.arm.trains:
            return None
        held = state["buffer_arrivals"][state["buffer_flags"] > 0]
        return probe.class_entropy(np.concatenate(self.shown)[held])

    def _point(self) -> dict:
        train, test = self.train_split, self.test
        chosen = [
            np.random.default_rng(0).permutation(len(split))[:CURVE_ROWS]
            for split in (train, test)
        ]
        parts = zip((train, test), chosen, strict=True)
        (a, b) = [(self.session.infer(s.x[rows]), s.y[rows]) for s, rows in parts]
        return {
            "steps": self.steps,
            "items": self.items,
            "seconds": self.seconds,
            "knn": probe.knn(*a, *b).accuracy,
        }

    def _probed(self) -> dict:
        """Returns the probes of both whole splits."""
        train, test = self.train_split, self.test
        embeddings = (
            self.session.infer(train.x),
            train.y,
            self.session.infer(test.x),
            test.y,
        )
        seed = self.job["seed"]
        linear = {
            f"{share:g}": probe.linear_probe(*embeddings, share, seed, train.group)
            for share in SHARES
        }
        return {
            "knn": dataclasses.asdict(probe.knn(*embeddings)),
            "linear": {s: dataclasses.asdict(found) for s, found in linear.items()},
            "items": self.items,
        }


if __name__ == "__main__":
    main(*sys.argv[1:])
