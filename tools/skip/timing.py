"""What a step takes, by rows kept.

    python -m tools.skip.timing FOLDER THREADS ROUNDS ARTIFACT...

All artifacts are loaded into one process and take turns. With a policy that keeps
whatever is labelled, labels say in which bucket backward runs; for none, the policy
keeps nothing. Prints {artifact: {rows: [ms of each round]}} as a JSON line. NumPy and
LiteRT only.
"""

from __future__ import annotations

import collections
import json
import math
import pathlib
import sys
import time

import numpy as np

from tflite_odl.host.session import Session

CALLS = 3
# No threshold is decided on, and weights stay as they are.
STILL = {"learning_rate": 0.0, "update_period": 1e6}
OPEN = {"fixed_threshold": 2.0, "skip_rate": 0.0}
CLOSED = {"fixed_threshold": 0.0, "skip_rate": 1.0}
# These keep some rows of every batch.
NEVER_CLOSED = ("full", "selective", "infobatch")


def main(folder: str, threads: str, rounds: str, *names: str) -> None:
    sessions = {name: opened(pathlib.Path(folder) / name, threads) for name in names}
    times: dict = collections.defaultdict(lambda: collections.defaultdict(list))
    for number in range(-1, int(rounds)):
        for name, session in sessions.items():
            for rows in sizes(session):
                spent = step_ms(session, rows)
                if number >= 0:
                    times[name][rows].append(spent)
    print(json.dumps(times))


def opened(path: pathlib.Path, threads: str) -> Session:
    session = Session(path, threads=int(threads))
    configure(session, STILL | OPEN)
    return session


def configure(session: Session, values: dict[str, float]) -> None:
    """Sets those of the values that the artifact knows."""
    known = session.manifest.signature("configure").input_names
    session.configure(**{k: v for k, v in values.items() if k in known})


def sizes(session: Session) -> list[int]:
    """Returns the rows that backward is built for; 0 where a policy can keep none."""
    config, batch = session.manifest.method["config"], session.batch_size
    buckets = [math.ceil(part * batch) for part in config.get("buckets", ())]
    closes = config.get("policy", "full") not in NEVER_CLOSED
    return [*([0] if closes else []), *buckets, batch]


def step_ms(session: Session, rows: int) -> float:
    """Returns the least time of a few train calls that keep so many rows."""
    spec = session.manifest.signature("train").inputs[0]
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 255, spec.shape).astype(spec.dtype)
    y = np.full(spec.shape[0], -1, np.int32)
    labelled = rows or len(y)
    y[:labelled] = np.arange(labelled) % len(session.manifest.classes)
    cut(session, closed=not rows)
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        metrics = session.train(x=x, y=y)
        times.append((time.perf_counter() - start) * 1e3)
    kept = int(metrics.get("kept", [rows])[0])
    if kept != rows or not metrics["accepted"][0]:
        raise ValueError(f"{rows} rows were to be kept, {kept} were: {metrics}")
    return min(times)


def cut(session: Session, closed: bool) -> None:
    """Lets the policy keep every row or none."""
    configure(session, CLOSED if closed else OPEN)
    state = session.state(include_buffers=True)
    if "threshold_interval" in state:
        intervals = 0 if closed else session.manifest.method["config"]["intervals"]
        state["threshold_interval"] = np.array([intervals], np.int32)
        session.load_state(state)


if __name__ == "__main__":
    main(*sys.argv[1:])
