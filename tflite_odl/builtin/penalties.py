"""Penalties on weights and on activations, which a model's layers add to its loss."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.activations import HUGE
from tflite_odl.builtin.lowering import Rows, Tensors
from tflite_odl.builtin.sums import row_sums


@dataclasses.dataclass(frozen=True)
class Penalty:
    """l1 |w| + l2 w^2, summed over all entries w; its slope is l1 sign(w) + 2 l2 w."""

    l1: float = 0.0
    l2: float = 0.0

    def __add__(self, other: Penalty) -> Penalty:
        return Penalty(self.l1 + other.l1, self.l2 + other.l2)

    def entries(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the penalty of each entry."""
        return self._present(tf.abs(w) * self.l1, w * w * self.l2)

    def value(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the penalty of a tensor, [1]."""
        found = self.entries(w)
        if found.shape.rank > 1:
            found = tf.reduce_sum(found, list(range(found.shape.rank - 1)))
        return tf.reduce_sum(found, 0, keepdims=True)

    def number(self, w: np.ndarray) -> float:
        """Returns the penalty of an array."""
        w = np.asarray(w, np.float64)
        return self.l1 * float(np.abs(w).sum()) + self.l2 * float((w * w).sum())

    def slope(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the penalty's derivative with respect to each entry."""
        # Not SIGN, which would leave the XNNPACK partition.
        sign = tf.clip_by_value(w * HUGE, -1.0, 1.0)
        return self._present(sign * self.l1, w * (2.0 * self.l2))

    def _present(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Returns the sum of the terms whose factor is not 0."""
        if self.l1 and self.l2:
            return first + second
        return first if self.l1 else second


Penalties = Mapping[str, Penalty]


def of_weights(penalties: Penalties, weights: Tensors) -> list[tf.Tensor]:
    """Returns the penalty on each weight that has one, [1].

    Args:
      penalties: {weight name: penalty}.
      weights: {weight name: tensor}.
    """
    return [penalty.value(weights[name]) for name, penalty in penalties.items()]


def of_activity(penalty: Penalty, x: tf.Tensor, rows: Rows) -> tf.Tensor:
    """Returns the penalty on an activation: the mean over the rows that count, [1].

    Args:
      penalty: on each entry.
      x: [B, ...].
      rows: which rows count.
    """
    by_row = tf.reshape(row_sums(penalty.entries(x)), [x.shape[0], -1])
    counted = tf.reduce_sum(by_row, 1) * rows.mask
    return tf.reduce_sum(counted, keepdims=True) / rows.count


def activity_slope(penalty: Penalty, x: tf.Tensor, rows: Rows) -> tf.Tensor:
    """Returns the derivative of `of_activity` with respect to x, [B, ...]: 0 in rows
    that do not count."""
    return penalty.slope(x) * (rows.shaped(x.shape.rank) / rows.count)


def steeper(gradients: Tensors, penalties: Penalties, weights: Tensors) -> Tensors:
    """Returns the gradients with the penalties' own added.

    Args:
      gradients: {weight name: gradient} of the weights that learn.
      penalties: {weight name: penalty}, of some of them, or of others.
      weights: {weight name: tensor}.
    """
    return {
        name: gradient + penalties[name].slope(weights[name])
        if name in penalties
        else gradient
        for name, gradient in gradients.items()
    }


def added(loss: tf.Tensor, terms: list[tf.Tensor]) -> tf.Tensor:
    """Returns a loss with penalties, all [1]."""
    # Not ADD_N, which would leave the XNNPACK partition.
    return functools.reduce(operator.add, terms, loss)
