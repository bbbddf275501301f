"""How often each item of a stream was in a mini-batch, seen from outside.

The draw is made once more from the saved random state, in NumPy: an item that is drawn
and leaves in the same step would else be missed.
"""

from __future__ import annotations

import numpy as np

from tflite_odl.builtin.random import BITS, COUNTER, INDEX, ROUNDS, SALT, SEED


class Counter:
    """Counts the uses of items by their numbers.

    Args:
      salt: of the method's draw.
      drawn: items of the buffer in a mini-batch.
      first: whether new items are in it before anything is selected.
    """

    def __init__(self, salt: int, drawn: int, first: bool) -> None:
        self.salt, self.drawn, self.first = salt, drawn, first
        self.counts = np.zeros(0, np.int64)

    def note(self, before: dict, after: dict) -> None:
        """Counts a step; before and after: the state with its buffers."""
        arrived = int(after["arrived"][0])
        new = np.full(arrived - len(self.counts), int(self.first))
        self.counts = np.concatenate([self.counts, new])
        if "buffer_flags" not in after:
            return
        if not self.first:  # all that is used is still there
            there = after["buffer_flags"] > 0
            self.counts[after["buffer_arrivals"][there]] = after["buffer_uses"][there]
            return
        filled = np.flatnonzero(before["buffer_flags"] > 0)
        numbers = uniform(before["random"], len(before["buffer_flags"]), self.salt)
        order = filled[np.argsort(-numbers[filled], kind="stable")][: self.drawn]
        self.counts[before["buffer_arrivals"][order]] += 1


def uniform(state: np.ndarray, count: int, salt: int) -> np.ndarray:
    """Returns the graph's uniform numbers, [count] float64."""
    seed, counter = (int(value) for value in state)
    start = SEED * seed + COUNTER * counter + SALT * salt
    index = np.arange(count, dtype=np.int64) * INDEX
    z = (index + start % 2**32).astype(np.uint32).view(np.int32)
    for shift, factor in ROUNDS:
        z = z ^ (z >> shift)
        z = (z.astype(np.int64) * factor).astype(np.uint32).view(np.int32)
    return (z % (1 << BITS)) * 2.0**-BITS
