"""Four threads on one session; their calls replayed in the order the lock gave them."""

from __future__ import annotations

import concurrent.futures
import pathlib

import numpy as np

from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tools.robust import children, driving

THREADS, BATCHES = 4, 16


def study(path: pathlib.Path, calls: int) -> list[dict]:
    """Returns a record of each runtime.

    Args:
      path: of an artifact.
      calls: of each thread.
    """
    found = []
    for runtime in ("interpreter", "compiled"):
        how, answer = children.run(lambda r=runtime: tried(path, r, calls), 3600)
        about = answer if how == "done" else {"failed": f"{how}: {answer}"}
        found.append({"runtime": runtime, "threads": THREADS, "calls": calls, **about})
    return found


def tried(path: pathlib.Path, runtime: str, calls: int) -> dict:
    """Returns the counts of one runtime, in this process."""
    artifact = Artifact.open(path)
    batches = [driving.batch(artifact.manifest, seed) for seed in range(BATCHES)]
    order: list[tuple[str, dict, str]] = []
    with Session(artifact, runtime) as session:
        run = session._runtime.run

        def recorded(signature: str, inputs: dict) -> dict:
            outputs = run(signature, inputs)
            order.append((signature, inputs, driving.digest(outputs)))
            return outputs

        session._runtime.run = recorded

        def work(number: int) -> int:
            rng, wrong = np.random.default_rng(number), 0
            for kind in rng.integers(0, 100, calls):
                wrong += _call(session, int(kind), batches[int(kind) % BATCHES])
            return wrong

        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            wrong = sum(pool.map(work, range(THREADS)))
        state = driving.state(session)
    with Session(artifact, runtime) as alone:
        differ = sum(
            driving.digest(alone._runtime.run(signature, inputs)) != outputs
            for signature, inputs, outputs in order[:-1]
        )
        same = driving.state(alone) == state
    counts = {name: sum(one[0] == name for one in order) for name in ("train", "infer")}
    about = {"runtime_calls": len(order), **counts, "wrong_rows": wrong}
    return {**about, "differ": differ, "same_state": same}


def _call(session: Session, kind: int, batch: dict) -> int:
    """Makes one call; returns whether an answer is not of its question."""
    if kind < 40:
        session.train(**batch)
    elif kind < 80:
        rows = 1 + kind % 5
        features = {name: batch[name][:rows] for name in session.features}
        return int(len(session.infer(**features)) != rows)
    elif kind < 90:
        return int(session.evaluate(**batch)["count"] != len(batch["y"]))
    elif kind < 96:
        rate = float(np.float32(0.001 * (kind - 89)))
        return int(session.configure(learning_rate=rate)["learning_rate"] != rate)
    else:
        return int(not np.isfinite(session.state()["step"]).all())
    return 0
