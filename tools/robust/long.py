"""A million steps in one process: what its memory, counters and checkpoints do."""

from __future__ import annotations

import os
import pathlib
import shutil
import time

from tflite_odl.host import checkpoint
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tools.robust import children, driving

SETTLED = 1000
PAGE = os.sysconf("SC_PAGE_SIZE")


def study(path: pathlib.Path, work: pathlib.Path, steps: int) -> list[dict]:
    """Returns a record of each runtime: resident memory over the steps, in kB."""
    found = []
    for runtime in ("interpreter", "compiled"):
        folder = work / runtime
        shutil.rmtree(folder, ignore_errors=True)
        how, answer = children.run(
            lambda r=runtime, f=folder: _tried(path, r, f, steps), 7200
        )
        about = answer if how == "done" else {"failed": f"{how}: {answer}"}
        found.append({"runtime": runtime, "steps": steps, **about})
    return found


def _tried(path: pathlib.Path, runtime: str, folder: pathlib.Path, steps: int) -> dict:
    artifact, begin = Artifact.open(path), time.monotonic()
    batches = [driving.batch(artifact.manifest, seed) for seed in range(8)]
    memory, places, wrong = [], steps // 20, 0
    with Session(artifact, runtime, 1, folder) as session:
        for step in range(1, steps + 1):
            told = int(session.train(**batches[step % 8])["step"][0])
            wrong += told != step
            if step == SETTLED or step % places == 0:
                session.save_checkpoint()
                memory.append((step, _resident_kb()))
        newest = checkpoint.load(folder / checkpoint.NEWEST, artifact.manifest)
        before = checkpoint.load(folder / checkpoint.BEFORE, artifact.manifest)
        end = session.step
    settled = next(kb for step, kb in memory if step >= SETTLED)
    return {
        "growth_kb": memory[-1][1] - settled,
        "largest_growth_kb": max(kb for step, kb in memory if step >= SETTLED)
        - settled,
        "memory_kb": memory,
        "wrong_counters": wrong + (end != steps),
        "checkpoints": [before.step, newest.step],
        "seconds": round(time.monotonic() - begin, 1),
    }


def _resident_kb() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE // 1024
