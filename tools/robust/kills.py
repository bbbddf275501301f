"""Runs that are killed at random moments, saving included, and resumed to their end."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import time

import numpy as np

from tflite_odl.host import loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tools.robust import children, driving

BATCHES, EVERY = 30, 1


def study(
    artifacts: dict[str, pathlib.Path], work: pathlib.Path, kills: int
) -> list[dict]:
    """Returns a record of each artifact and runtime: kills, resumes, what differed."""
    share = -(-kills // (2 * len(artifacts)))
    return [
        {"artifact": name, "runtime": runtime, **_tried(path, runtime, work, share)}
        for name, path in artifacts.items()
        for runtime in ("interpreter", "compiled")
    ]


def _tried(path: pathlib.Path, runtime: str, work: pathlib.Path, kills: int) -> dict:
    whole, parts = work / "whole", work / "parts"
    shutil.rmtree(whole, ignore_errors=True)
    begin = time.monotonic()
    how, expected = children.run(lambda: _train(path, runtime, whole), 600)
    seconds = time.monotonic() - begin
    if how != "done":
        return {"kills": 0, "failed": f"{how}: {expected}"}
    rng, found = np.random.default_rng(0), {"kills": 0, "runs": 0, "differ": 0}
    causes: list[str] = []
    while found["kills"] < kills:
        shutil.rmtree(parts, ignore_errors=True)
        found["runs"] += 1
        while found["kills"] < kills:
            if not _killed(path, runtime, parts, rng.uniform(0.1, 1.1) * seconds):
                break
            found["kills"] += 1
        how, answer = children.run(lambda: _train(path, runtime, parts), 600)
        if how != "done" or answer != expected:
            found["differ"] += 1
            causes.append(f"{how}: {answer}"[:200])
    return {**found, "causes": causes}


def _killed(
    path: pathlib.Path, runtime: str, folder: pathlib.Path, after: float
) -> bool:
    """Kills a run after some seconds; returns whether it was still at work."""
    source, child = children.start(lambda: _train(path, runtime, folder))
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(source)
    return os.WIFSIGNALED(status)


def _train(path: pathlib.Path, runtime: str, folder: pathlib.Path) -> list:
    """Returns what a run that begins or goes on in a folder comes to."""
    artifact = Artifact.open(path)
    with Session(artifact, runtime, 1, folder) as session:
        if folder.exists():
            session.restore_checkpoint()
        summary = loop.run(
            session,
            lambda start: driving.stream(artifact.manifest, start),
            BATCHES,
            folder,
            EVERY,
        )
        state = driving.state(session)
    records = driving.told(folder / loop.RECORDS)
    left = sorted(p.name for p in folder.iterdir() if p.name.endswith(".writing"))
    return [state, records, summary.accuracy, summary.lost_records, left]
