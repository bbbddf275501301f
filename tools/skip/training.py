"""One run: python -m tools.skip.training JOB. Prints what came of it as a JSON line.

A job is a JSON object with the case's and the variant's names, the seed, the folder of
artifacts and weights, the settings, the ms of a step by the rows that backward runs on,
and the budget in seconds or steps. Seconds are counted by these ms, so that other work
on the machine does not matter; the wall clock is noted beside. NumPy and LiteRT only.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
import time

import numpy as np

from tflite_odl import streams
from tflite_odl.host.session import Session
from tools.skip import cases, probing

CHECKPOINTS = 10
# Of the test split, for the curve; the last figure is of all of it.
CURVE_ROWS = 1000
RATE_STEPS = 20


def main(text: str) -> None:
    job = json.loads(text)
    case = cases.CASES[job["case"]]
    variant = next(v for v in case.variants if v.name == job["variant"])
    folder, start = pathlib.Path(job["folder"]), time.perf_counter()
    with Session(folder / variant.artifact, threads=1) as session:
        with np.load(folder / f"weights-{job['seed']}.npz") as weights:
            fresh = session.state(include_buffers=True)
            session.load_state({**fresh, **weights})
        session.configure(**job["settings"])
        found = Run(session, case, variant, job).train()
    print(json.dumps({**found, "wall_s": time.perf_counter() - start}))


class Run:
    """A session under training, and what is noted on the way."""

    def __init__(self, session, case, variant, job) -> None:
        self.session, self.case, self.variant, self.job = session, case, variant, job
        self.data = streams.open(case.dataset)
        self.ms = {int(rows): ms for rows, ms in job["ms"].items()}
        self.steps, self.seconds, self.kept = 0, 0.0, 0
        self.bucket_steps = dict.fromkeys(self.ms, 0)

    @property
    def spent(self) -> float:
        """The share of the budget that is used up."""
        used = self.seconds if self.case.budget == "seconds" else self.steps
        return used / self.job["budget"]

    def train(self) -> dict:
        """Trains until the budget is spent; returns the record."""
        curve: list[dict] = []
        batches = self.data.train.batches(self.case.batch, self.job["seed"])
        while self.spent < 1:
            if self.steps % RATE_STEPS == 0:
                share = 0.5 * (1 + math.cos(math.pi * self.spent))
                self.session.configure(learning_rate=self.case.learning_rate * share)
            self._step(*next(batches))
            if self.spent >= (len(curve) + 1) / CHECKPOINTS - 1e-9:
                curve.append(self._point())
        test = self.data.test
        return {
            "curve": curve,
            "steps": self.steps,
            "seconds": self.seconds,
            "kept": self.kept,
            "skipped": 1 - self.kept / (self.steps * self.case.batch),
            "bucket_steps": self.bucket_steps,
            **self.session.evaluate(test.x, test.y),
        }

    def _step(self, x: np.ndarray, y: np.ndarray) -> None:
        self.metrics = self.session.train(x=x, y=y)
        kept = int(self.metrics.get("kept", [len(y)])[0])
        bucket = min(rows for rows in self.ms if rows >= kept)
        self.bucket_steps[bucket] += 1
        self.seconds += self.ms[bucket] / 1e3
        self.kept += kept
        self.steps += 1

    def _point(self) -> dict:
        test = self.data.test
        found = self.session.evaluate(test.x[:CURVE_ROWS], test.y[:CURVE_ROWS])
        point = {
            "steps": self.steps,
            "seconds": self.seconds,
            "kept": self.kept,
            "accuracy": found["accuracy"],
        }
        if self.variant.bounded:
            names = ("threshold", "estimated_rse")
            point |= {name: float(self.metrics[name][0]) for name in names}
            point["measured_rse"] = probing.measured_rse(self.session, test)
        return point


if __name__ == "__main__":
    main(*sys.argv[1:])
