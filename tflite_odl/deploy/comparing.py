"""What a phone's run came to, beside the same run on this machine."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Batches after which two runs may part: differences in the order of float32's sums grow
# from step to step, in nets with batch norms tenfold in some ten steps.
FIRST = 10
# Of a loss, or of 1 where it is smaller. Two TFLite versions were 1e-5 apart after 20
# steps of a ResNet-8; a wrong batch, or a wrong learning rate, is more than this.
LIMIT = 1e-3

Record = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two runs of one artifact on the same batches.

    Attributes:
      batches: that both have records of.
      first, worst: the largest difference of their losses, relative above 1, over the
        `FIRST` batches and over all; None if no batch of both has a loss.
      decisions: share of the batches in which as many rows were predicted right; None
        where nothing is predicted.
      host_ms, phone_ms: medians of the train calls.
      agrees: whether they are one run: every batch there, `first` within `LIMIT`.
    """

    batches: int
    first: float | None
    worst: float | None
    decisions: float | None
    host_ms: float
    phone_ms: float
    agrees: bool


def compare(host: Sequence[Record], phone: Sequence[Record]) -> Compared:
    """Returns how two runs' records differ."""
    both = list(zip(host, phone))
    apart = [found for found in map(_apart, both) if found is not None]
    alike = [a["correct"] == b.get("correct") for a, b in both if "correct" in a]
    first = max(apart[:FIRST], default=None)
    whole = len(host) == len(phone) and all(
        a["batch"] == b["batch"] and a["step"] == b["step"] for a, b in both[:FIRST]
    )
    return Compared(
        batches=len(both),
        first=first,
        worst=max(apart, default=None),
        decisions=sum(alike) / len(alike) if alike else None,
        host_ms=_median(host),
        phone_ms=_median(phone),
        agrees=whole and (first is None or first <= LIMIT),
    )


def _apart(records: tuple[Record, Record]) -> float | None:
    """Returns the difference of two losses; infinite if only one is a number."""
    a, b = (record.get("loss") for record in records)
    if a is None and b is None:
        return None
    if a is None or b is None:
        return float("inf")
    return abs(a - b) / max(1.0, abs(a))


def _median(records: Sequence[Record]) -> float:
    return statistics.median([one["ms"] for one in records] or [0.0])
