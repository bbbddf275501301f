"""What a run leaves in its folder beside checkpoints: its facts, a record per batch."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tflite_odl.errors import DataError

RECORDS, FACTS = "records.jsonl", "run.json"
# What a record tells of a batch before it was learned from.
PREQUENTIAL = ("correct", "absolute_error", "count")
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run came to, the parts before a resume included.

    Attributes:
      batches: consumed.
      steps: those that changed the state.
      loss: mean of the last tenth of the batches, None if none has one.
      accuracy: prequential, each batch predicted before it was learned from; None if
        no row was labelled or labels are no classes.
      absolute_error: likewise, of a regression.
      rejected_rows: bad rows.
      ms_per_step: median of the train calls, None without any.
      interrupted: whether it stopped before its end.
    """

    batches: int
    steps: int
    loss: float | None
    accuracy: float | None
    absolute_error: float | None
    rejected_rows: int
    ms_per_step: float | None
    interrupted: bool


def record(
    batch: int, metrics: Mapping[str, Any], before: Mapping[str, Any], ms: float
) -> Record:
    """Returns the record of a batch, as JSON has it.

    Args:
      batch: its number in the stream, from 1.
      metrics: what `train` gave.
      before: what `evaluate` gave before; `PREQUENTIAL` of it is told.
      ms: the train call's milliseconds.
    """
    told = {name: before[name] for name in PREQUENTIAL if name in before}
    values = {name: _plain(value) for name, value in {**metrics, **told}.items()}
    return {"batch": batch, **values, "ms": round(ms, 3)}


def _plain(value: Any) -> Any:
    """Returns a metric as JSON has it; what is not finite becomes null."""
    items = np.asarray(value).ravel().tolist()
    items = [item if math.isfinite(item) else None for item in items]
    return items[0] if len(items) == 1 else items


def summarize(
    records: list[Record], batches: int, steps: int, interrupted: bool
) -> Summary:
    """Returns the summary of a run's records, in their order."""
    losses = [r["loss"] for r in records[-max(1, len(records) // 10) :]]
    losses = [loss for loss in losses if loss is not None]
    return Summary(
        batches,
        steps,
        loss=float(np.mean(losses)) if losses else None,
        accuracy=_per_count(records, "correct", mean=False),
        absolute_error=_per_count(records, "absolute_error", mean=True),
        rejected_rows=sum(record["rejected_rows"] for record in records),
        ms_per_step=float(np.median([r["ms"] for r in records])) if records else None,
        interrupted=interrupted,
    )


def _per_count(records: list[Record], name: str, mean: bool) -> float | None:
    """Returns a total per row that counts, or the mean of means; None if not told."""
    told = [record for record in records if record.get(name) is not None]
    counted = sum(record["count"] for record in told)
    total = sum(r[name] * (r["count"] if mean else 1) for r in told)
    return total / counted if counted else None


def keep(path: pathlib.Path, position: int) -> list[Record]:
    """Cuts the records back to `position` batches, as what came after is redone.

    Args:
      path: of the records; it need not exist.
      position: batches that the state has seen.

    Returns:
      The records that are left; a line that a kill cut short is not.
    """
    if not path.exists():
        return []
    found = [_parse(line) for line in path.read_text().splitlines()]
    kept = [record for record in found if record and record["batch"] <= position]
    _replace(path, "".join(json.dumps(record) + "\n" for record in kept))
    return kept


def note_facts(
    folder: pathlib.Path,
    facts: dict[str, Any],
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Notes what a run was started with, or compares: it continues with the same.

    Args:
      folder: of the run.
      facts: what a resumed run must share with its beginning.
      about: noted beside them, and not compared.

    Raises:
      DataError: the folder's run was started with other facts.
    """
    path = folder / FACTS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps({**about, **facts}))
        return
    noted = read_facts(folder)
    differing = sorted(key for key in facts if facts[key] != noted.get(key))
    if differing:
        was = {key: noted.get(key) for key in differing}
        now = {key: facts[key] for key in differing}
        raise DataError(
            f"{folder} holds a run with {was}, got {now}: continue with the same, or "
            "take another folder"
        )


def read_facts(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what was noted of a run; raises DataError where that is not there."""
    path = folder / FACTS
    try:
        return dict(json.loads(path.read_text()))
    except OSError as error:
        raise DataError(f"{folder} holds no run: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _parse(line: str) -> Record | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _replace(path: pathlib.Path, text: str) -> None:
    fresh = path.with_suffix(".writing")
    with open(fresh, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
