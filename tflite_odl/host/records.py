"""What a run leaves in its folder beside checkpoints: its facts, a record per batch."""

from __future__ import annotations

import array
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tflite_odl import files
from tflite_odl.errors import DataError
from tflite_odl.host.journal import Record

RECORDS, FACTS = "records.jsonl", "run.json"
# What a record tells of a batch before it was learned from.
PREQUENTIAL = ("correct", "absolute_error", "count")
MOST_FACTS_BYTES = 2**20


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
      lost_records: batches whose record is missing; the other figures are without them.
    """

    batches: int
    steps: int
    loss: float | None
    accuracy: float | None
    absolute_error: float | None
    rejected_rows: int
    ms_per_step: float | None
    interrupted: bool
    lost_records: int = 0


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
    records: Iterable[Record], batches: int, steps: int, interrupted: bool
) -> Summary:
    """Returns the summary of a run.

    Args:
      records: of the run, in their order; two numbers of each are held.
      batches: consumed.
      steps: those that changed the state.
      interrupted: whether the run stopped before its end.
    """
    ms, losses = array.array("d"), array.array("d")
    rejected, correct, error = 0, _PerCount(), _PerCount()
    for one in records:
        ms.append(one["ms"])
        loss = one.get("loss")
        losses.append(math.nan if loss is None else loss)
        rejected += one["rejected_rows"]
        correct.add(one, "correct", mean=False)
        error.add(one, "absolute_error", mean=True)
    last = np.asarray(losses)[-max(1, len(losses) // 10) :]
    last = last[~np.isnan(last)]
    return Summary(
        batches,
        steps,
        loss=float(last.mean()) if last.size else None,
        accuracy=correct.mean,
        absolute_error=error.mean,
        rejected_rows=rejected,
        ms_per_step=float(np.median(ms)) if ms else None,
        interrupted=interrupted,
        lost_records=batches - len(ms),
    )


class _PerCount:
    """A total per row that counts, or the mean of means; None if not told."""

    def __init__(self) -> None:
        self._total, self._counted = 0.0, 0

    def add(self, record: Record, name: str, mean: bool) -> None:
        value, count = record.get(name), record.get("count")
        if value is not None and count is not None:
            self._total += value * (count if mean else 1)
            self._counted += count

    @property
    def mean(self) -> float | None:
        return self._total / self._counted if self._counted else None


def note_facts(
    folder: pathlib.Path,
    facts: dict[str, Any],
    about: Mapping[str, Any] = MappingProxyType({}),
    unsaid: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Notes what a run was started with, or compares: it continues with the same.

    Args:
      folder: of the run.
      facts: what a resumed run must share with its beginning.
      about: noted beside them, and not compared.
      unsaid: facts that older versions did not note, with what their runs went by.

    Raises:
      DataError: the folder's run was started with other facts, or the folder cannot be
        written.
    """
    path = folder / FACTS
    if not os.path.lexists(path):
        with files.told(DataError, f"cannot write to {files.shown(folder)}"):
            folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({**about, **facts}).encode()
        files.write(path, content, DataError)
        return
    noted = {**unsaid, **read_facts(folder)}
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
    content = files.read(path, DataError, MOST_FACTS_BYTES)
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
