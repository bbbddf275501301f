"""What a step takes, by rows kept.

    python -m tools.skip.timing FOLDER THREADS ROUNDS ARTIFACT...

All artifacts are loaded into one process and take turns. Rows without a label count as
skipped, so labels alone say in which bucket backward runs. Prints {artifact: {rows:
[ms of each round]}} as a JSON line. NumPy and LiteRT only.
"""

from __future__ import annotations

import collections
import json
import pathlib
import sys
import time

import numpy as np

from tflite_odl.host.session import Session

CALLS = 3
# Whatever a policy would skip is kept, and no threshold is decided on.
OPEN = {
    "learning_rate": 0.0,
    "update_period": 1e6,
    "fixed_threshold": 2.0,
    "skip_rate": 0.0,
}


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
    known = session.manifest.signature("configure").input_names
    session.configure(**{k: v for k, v in OPEN.items() if k in known})
    return session


def sizes(session: Session) -> list[int]:
    """Returns the rows that backward is built for, 0 among them where that differs."""
    config, batch = session.manifest.method["config"], session.batch_size
    buckets = [round(part * batch) for part in config.get("buckets", ())]
    return [*([0] if buckets else []), *buckets, batch]


def step_ms(session: Session, rows: int) -> float:
    """Returns the least time of a few train calls with so many labelled rows."""
    spec = session.manifest.signature("train").inputs[0]
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 255, spec.shape).astype(spec.dtype)
    y = np.full(spec.shape[0], -1, np.int32)
    y[:rows] = np.arange(rows) % len(session.manifest.classes)
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        metrics = session.train(x=x, y=y)
        times.append((time.perf_counter() - start) * 1e3)
    kept = int(metrics.get("kept", [rows])[0])
    if kept != rows:
        raise ValueError(f"{rows} rows are labelled, {kept} were kept")
    return min(times)


if __name__ == "__main__":
    main(*sys.argv[1:])
