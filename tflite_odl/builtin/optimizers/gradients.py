"""What is done to gradients before an optimizer takes them: gathered, clipped."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.optimizers.base import Tensors, slot_name

SUM = "gradient_sum"


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Gradients of several batches.

    Attributes:
      mean: {weight name: gradient}, over the batches gathered so far.
      sums: {slot name: their sum}, the new state.
      due: [1] bool, whether the last of the batches is in.
    """

    mean: Tensors
    sums: dict[str, tf.Tensor]
    due: tf.Tensor


def initial_sums(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns {slot name: zeros} for the given weights."""
    return {slot_name(name, SUM): np.zeros_like(w) for name, w in weights.items()}


def gather(
    gradients: Tensors, state: Tensors, step: tf.Tensor, batches: int
) -> Gathered:
    """Returns the gradients of this batch and of those before it in its group.

    Args:
      gradients: {weight name: gradient} of one batch.
      state: holds the sums so far, which count for nothing at a group's first batch.
      step: [1] int32, batches accepted before this one.
      batches: of a group; with 1 there are no sums, and every batch is due.
    """
    if batches == 1:
        return Gathered(gradients, {}, tf.constant([True]))
    before = tf.math.floormod(step, batches)
    keep = tf.cast(tf.minimum(before, 1), tf.float32)
    sums = {n: state[slot_name(n, SUM)] * keep + g for n, g in gradients.items()}
    share = 1.0 / tf.cast(before + 1, tf.float32)
    return Gathered(
        {name: value * share for name, value in sums.items()},
        {slot_name(name, SUM): value for name, value in sums.items()},
        before >= batches - 1,
    )


def squared_norm(gradients: Tensors) -> tf.Tensor:
    """Returns [1]: the sum of the squares of all entries, in two stages for kernels."""
    parts = []
    for gradient in gradients.values():
        square = gradient * gradient
        if square.shape.rank > 1:
            square = tf.reduce_sum(square, list(range(square.shape.rank - 1)))
        parts.append(tf.reduce_sum(square, 0, keepdims=True))
    return functools.reduce(operator.add, parts)


def clip(gradients: Tensors, norm: tf.Tensor, largest: tf.Tensor) -> Tensors:
    """Returns the gradients scaled so that their global norm is at most `largest`.

    Args:
      gradients: {weight name: gradient}.
      norm: [1], their global norm.
      largest: [1].
    """
    factor = largest / tf.maximum(norm, largest)
    return {name: gradient * factor for name, gradient in gradients.items()}


def clip_each(gradients: Tensors, largest: tf.Tensor) -> Tensors:
    """Returns the gradients, each scaled so that its own norm is at most `largest`."""
    clipped: dict[str, tf.Tensor] = {}
    for name, gradient in gradients.items():
        norm = tf.sqrt(squared_norm({name: gradient}))
        clipped |= clip({name: gradient}, norm, largest)
    return clipped


def clip_values(gradients: Tensors, largest: tf.Tensor) -> Tensors:
    """Returns the gradients, each entry brought to between -largest and largest."""
    return {
        name: tf.maximum(tf.minimum(gradient, largest), -largest)
        for name, gradient in gradients.items()
    }
