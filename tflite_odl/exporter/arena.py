"""The size of a memory arena that tensors with known lifetimes share.

TFLite's ArenaPlanner and XNNPACK's memory planner place tensors by the same rule:
largest first, each into the smallest gap between the tensors placed before whose
lifetimes overlap its own, else on top.

References:
  Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020,
  arXiv:2001.03288 (greedy by size).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALIGNMENT_BYTES = 64


class Lifetime(NamedTuple):
    """A tensor of `bytes` that lives from op `first` to op `last`, both included."""

    bytes: int
    first: int
    last: int


def aligned(size: int) -> int:
    """Rounds bytes up to the planners' alignment."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def arena_bytes(tensors: Sequence[Lifetime]) -> int:
    """Returns the arena's size in bytes under the greedy-by-size rule."""
    if not tensors:
        return 0
    sizes, first, last = np.array(tensors, np.int64).T
    order = np.lexsort((first, -sizes))
    sizes, first, last = sizes[order], first[order], last[order]
    start = np.zeros_like(sizes)
    for i in range(len(sizes)):
        overlap = (first[:i] <= last[i]) & (last[:i] >= first[i])
        start[i] = _place(start[:i][overlap], sizes[:i][overlap], sizes[i])
    return int((start + sizes).max())


def _place(start: np.ndarray, sizes: np.ndarray, size: int) -> int:
    """Returns the offset of the smallest gap that holds `size`, or the top."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], (start + sizes)[order]
    floor = np.concatenate([[0], np.maximum.accumulate(end)])
    gaps = start - floor[:-1]
    gaps = np.where(gaps >= size, gaps, np.iinfo(np.int64).max)
    if len(gaps) and gaps.min() < np.iinfo(np.int64).max:
        return int(floor[np.argmin(gaps)])
    return int(floor[-1])
