"""One run: python -m tools.distill.training JOB. Prints what came of it as a JSON line.

A job is a JSON object with the case's and the arm's names, the seed, the steps, and the
folder of artifacts and weights. One thread; NumPy and LiteRT only.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
import time

import numpy as np

from tflite_odl.host.session import Session
from tflite_odl.streams.dataset import Split
from tools.distill import cases
from tools.distill.rows import Rows, of_case

POINTS = 30
RATE_STEPS = 20
CURVE = ("temperature", "hard_weight", "teacher_entropy", "student_entropy", "gap_mode")


def main(text: str) -> None:
    job = json.loads(text)
    case = cases.CASES[job["case"]]
    arm = next(arm for arm in case.arms if arm.name == job["arm"])
    folder, start = pathlib.Path(job["folder"]), time.perf_counter()
    rows, found = of_case(case), {}
    with Session(folder / arm.artifact, threads=1) as session:
        with np.load(folder / f"weights-{job['seed']}.npz") as weights:
            fresh = session.state(include_buffers=True)
            known = {name: weights[name] for name in weights if name in fresh}
            session.load_state({**fresh, **known})
        if case.story:
            found = told(session, case, arm, rows, job)
        else:
            configure(session, arm.settings)
            found["curve"] = trained(session, case, seen(arm, rows), job)
            found["validation"] = accuracy(session, rows.validation)
        found["accuracy"] = accuracy(session, rows.test)
    spent = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time()}
    print(json.dumps({**found, **spent}))


def told(session, case, arm, rows: Rows, job: dict) -> dict:
    """Returns what is known before a student learns from rows without labels, and the
    curve of that. It has learned from other rows before, with labels; then all but its
    weights is as in a fresh artifact. One that only labels teach learns from these
    other rows once more."""
    first = session.configure()
    fresh = session.state(include_buffers=True)
    configure(session, cases.ALONE.settings)
    trained(session, case, rows.labelled, job)
    state = session.state(include_buffers=True)
    specs = session.manifest.state
    learned = {s.name: state[s.name] for s in specs if s.role == "weight"}
    session.load_state({**fresh, **learned})
    before = accuracy(session, rows.test)
    session.configure(**first)
    configure(session, arm.settings)
    return {"before": before, "curve": trained(session, case, seen(arm, rows), job)}


def seen(arm: cases.Arm, rows: Rows) -> Split:
    """Returns the rows that an arm learns from: where only labels teach, those that
    have one."""
    return rows.labelled if arm.alone or rows.new is None else rows.new


def configure(session: Session, settings: cases.Pairs) -> None:
    """Sets those of the values that the artifact knows."""
    known = session.manifest.signature("configure").input_names
    session.configure(**{name: v for name, v in settings if name in known})


def trained(session: Session, case, split: Split, job: dict) -> list[dict]:
    """Trains for a job's steps, the rate falling to 0; returns points of the curve."""
    curve, sums, steps = [], {}, job["steps"]
    known = session.manifest.signature("configure").input_names
    rates = [name for name in known if name.endswith("learning_rate")]
    batches = split.batches(case.batch, job["seed"])
    for step in range(steps):
        if step % RATE_STEPS == 0:
            rate = case.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            session.configure(**dict.fromkeys(rates, rate))
        x, y = next(batches)
        metrics = session.train(x=x, y=y)
        for name in CURVE:
            if name in metrics:
                sums[name] = sums.get(name, 0.0) + float(metrics[name][0])
        if (step + 1) % max(1, steps // POINTS) == 0:
            every = max(1, steps // POINTS)
            means = {name: round(value / every, 4) for name, value in sums.items()}
            curve.append({"step": step + 1, **means})
            sums = {}
    return curve


def accuracy(session: Session, split: Split) -> float:
    """Returns how often the student is right."""
    return float(session.evaluate(split.x, split.y)["accuracy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
