"""The test-then-train loop: predict a batch, then learn from it, and keep records."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.host.session import Session

RECORDS = "records.jsonl"
Batches = Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
      batches: consumed in all, earlier parts of a resumed run included.
      steps: those that changed the state.
      loss: mean of the last tenth of the batches of this part.
      accuracy: prequential, each batch predicted before it was learned from.
      rejected_rows: bad rows in this part.
      ms_per_step: median of the train calls of this part.
      interrupted: whether it stopped before its end.
    """

    batches: int
    steps: int
    loss: float
    accuracy: float
    rejected_rows: int
    ms_per_step: float
    interrupted: bool


def run(
    session: Session,
    batches: Batches,
    steps: int,
    folder: str | os.PathLike,
    checkpoint_every: int = 100,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[dict[str, Any]], None] = lambda record: None,
) -> Summary:
    """Trains until `steps` batches were consumed in all; ends with a checkpoint.

    Args:
      session: with a checkpoint_dir; continues at its `position`.
      batches: start -> the stream's batches from number `start` on.
      steps: batches in all, those before a resume included.
      folder: where the records go, one JSON object a line.
      checkpoint_every: batches between checkpoints.
      stop: asked after each batch; true ends the run early, state saved.
      on_step: called with each record.
    """
    path = pathlib.Path(folder) / RECORDS
    keep_records(path, session.position)
    found, interrupted = [], False
    stream = batches(session.position)
    with open(path, "a") as file:
        while session.position < steps and not interrupted:
            record = _step(session, *next(stream))
            found.append(record)
            file.write(json.dumps(record) + "\n")
            if session.position % checkpoint_every == 0:
                _checkpoint(session, file)
            on_step(record)
            interrupted = stop()
        _checkpoint(session, file)
    return _summary(session, found, interrupted and session.position < steps)


def keep_records(path: pathlib.Path, position: int) -> None:
    """Cuts the records back to `position` batches: what came after is redone."""
    if not path.exists():
        return
    kept = path.read_text().splitlines(keepends=True)[:position]
    fresh = path.with_suffix(".writing")
    fresh.write_text("".join(kept))
    os.replace(fresh, path)


def _step(session: Session, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    before = session.evaluate(x, y)
    start = time.perf_counter()
    metrics = session.train(x=x, y=y)
    ms = (time.perf_counter() - start) * 1e3
    return {
        "batch": session.position,
        **{name: _plain(value) for name, value in metrics.items()},
        "correct": before["correct"],
        "count": before["count"],
        "ms": round(ms, 3),
    }


def _plain(value: np.ndarray) -> Any:
    """Returns a metric as JSON has it; what is not finite becomes null."""
    items = [v if math.isfinite(v) else None for v in value.ravel().tolist()]
    return items[0] if len(items) == 1 else items


def _checkpoint(session: Session, file) -> None:
    # Records first: a checkpoint never knows of batches the records lack.
    file.flush()
    os.fsync(file.fileno())
    session.save_checkpoint()


def _summary(session: Session, found: list[dict], interrupted: bool) -> Summary:
    counted = max(sum(record["count"] for record in found), 1)
    losses = [r["loss"] for r in found[-max(1, len(found) // 10) :]]
    losses = [loss for loss in losses if loss is not None]
    return Summary(
        batches=session.position,
        steps=session.step,
        loss=float(np.mean(losses)) if losses else 0.0,
        accuracy=sum(record["correct"] for record in found) / counted,
        rejected_rows=sum(record["rejected_rows"] for record in found),
        ms_per_step=float(np.median([r["ms"] for r in found])) if found else 0.0,
        interrupted=interrupted,
    )


def flex_ops(manifest: contract.Manifest) -> int:
    """Returns the number of ops in the artifact that need the Flex library."""
    return sum(
        count
        for ops in manifest.ops.values()
        for name, count in ops.items()
        if name.startswith("Flex")
    )
