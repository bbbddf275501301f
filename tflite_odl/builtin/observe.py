"""How far activations go while a net trains: what an int8 twin's ranges follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import chunks
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.space import joined
from tflite_odl.builtin.tape import Tape

# Name of the state's tensor, and the share of it that a step keeps.
SEEN, DECAY = "activations_seen", 0.9
# What a row that does not count is taken for: below everything.
NOWHERE = 3e38


@dataclasses.dataclass(frozen=True)
class Extreme:
    """One end of a node's output that is followed.

    Attributes:
      node: its name in the training graph.
      sign: 1: how far above 0 the output goes; -1: how far below.
      first: as calibrated.
    """

    node: str
    sign: int
    first: float


@dataclasses.dataclass(frozen=True)
class Observed:
    """The ends that are followed, in the order of the state's tensor [E] float32."""

    extremes: tuple[Extreme, ...]

    @property
    def first(self) -> np.ndarray:
        """The tensor's first value."""
        return np.array([e.first for e in self.extremes], np.float32)

    def moved(self, record: Tape, good: Rows, before: tf.Tensor) -> tf.Tensor:
        """Returns [E]: DECAY times what was seen before, plus the rest times the
        batch's largest.

        Args:
          record: of the forward pass.
          good: which rows count.
          before: [E].
        """
        reached = [_reached(record, extreme) for extreme in self.extremes]
        bound = (good.mask * 2.0 - 1.0) * NOWHERE
        reached = tf.minimum(joined(reached, 0), bound)
        largest = tf.reduce_max(reached, 1)
        return before * DECAY + largest * (1.0 - DECAY)


def _reached(record: Tape, extreme: Extreme) -> tf.Tensor:
    """Returns [1, B]: how far each row's output goes."""
    found: list[tf.Tensor] = []
    for value in record.values[extreme.node]:
        axes = list(range(1, value.shape.rank))
        if extreme.sign > 0:
            found.append(tf.reduce_max(value, axes))
        else:
            found.append(-tf.reduce_min(value, axes))
    (row,) = chunks.fitted(found, 1)
    return tf.reshape(row, [1, -1])


def followed(
    ranges: dict[str, tuple[float, float]],
    nodes: dict[str, str],
    positive: Sequence[str],
) -> tuple[Observed, dict[str, tuple[int | None, int | None]]]:
    """Returns (what is followed, {name: places of its lower and its upper end}).

    Args:
      ranges: {name: calibrated range}.
      nodes: {name: node of the training graph that puts out the same}.
      positive: names of those that are never below 0.
    """
    extremes: list[Extreme] = []
    places = {}
    for name, (low, high) in ranges.items():
        below = None
        if name not in positive:
            below = len(extremes)
            extremes.append(Extreme(nodes[name], -1, -low))
        places[name] = below, len(extremes)
        extremes.append(Extreme(nodes[name], 1, high))
    return Observed(tuple(extremes)), places
