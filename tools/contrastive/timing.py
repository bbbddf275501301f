"""What a step of each arm takes, and what there is of it: all in turns, one process.

    python -m tools.contrastive.timing FOLDER ROUNDS ARTIFACT...

One thread; processor time, so that other work on the machine matters little. Prints
{artifact: {"ms": of each round, "bytes": of the file, "buffer_bytes": of what is kept
of the user's items, "partitions": XNNPACK's ops in each of a step's}} as a JSON line.
NumPy and LiteRT only.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np

from tflite_odl.exporter.partitions import partitions
from tflite_odl.host.session import Session

CALLS = 3
# Segments until every buffer is full.
FIRST = 20


def main(folder: str, rounds: str, *names: str) -> None:
    sessions = {name: Session(pathlib.Path(folder) / name, threads=1) for name in names}
    for session in sessions.values():
        session.configure(learning_rate=1e-6)
        for number in range(FIRST):
            session.train(x=segment(session, number))
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(int(rounds)):
        for name, session in sessions.items():
            times[name].append(_step_ms(session, number))
    print(json.dumps({n: {"ms": times[n], **about(sessions[n])} for n in names}))


def about(session: Session) -> dict:
    """Returns what does not depend on the machine's speed."""
    held = [spec for spec in session.manifest.state if spec.role == "buffer"]
    model = session.artifact.model
    return {
        "bytes": len(model),
        "buffer_bytes": sum(spec.bytes for spec in held),
        "partitions": partitions(model, ["train"])["train"].partitions,
    }


def segment(session: Session, number: int) -> np.ndarray:
    spec = session.manifest.signature("train").inputs[0]
    rng = np.random.default_rng(number)
    if spec.dtype == "uint8":
        return rng.integers(0, 256, spec.shape).astype(np.uint8)
    return rng.normal(size=spec.shape).astype(np.float32)


def _step_ms(session: Session, number: int) -> float:
    """Returns the least time of a few train calls."""
    x, times = segment(session, number), []
    for _ in range(CALLS):
        start = time.process_time()
        session.train(x=x)
        times.append((time.process_time() - start) * 1e3)
    return min(times)


if __name__ == "__main__":
    main(*sys.argv[1:])
