"""Constraints: what a weight is brought to after each update, as Keras does it."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class NonNegative:
    """w <- max(w, 0)."""

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(w)


@dataclasses.dataclass(frozen=True)
class Norm:
    """w <- w d / (n + 1e-7), n being the root of the sum of squares over the axes and
    d = rate min(max(n, low), high) + (1 - rate) n.

    Attributes:
      axes: of the weight.
      low: smallest norm.
      high: largest norm.
      rate: how much of the way is gone in one update, above 0, at most 1.
    """

    axes: tuple[int, ...]
    low: float = 0.0
    high: float = math.inf
    rate: float = 1.0

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        norm = tf.sqrt(tf.reduce_sum(w * w, list(self.axes), keepdims=True))
        wanted = tf.maximum(norm, self.low) if self.low else norm
        if self.high < math.inf:
            wanted = tf.minimum(wanted, self.high)
        if self.rate != 1.0:
            wanted = wanted * self.rate + norm * (1.0 - self.rate)
        return w * (wanted / (norm + EPSILON))


@dataclasses.dataclass(frozen=True)
class UnitNorm:
    """w <- w / (n + 1e-7), n being the root of the sum of squares over the axes."""

    axes: tuple[int, ...]

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        norm = tf.sqrt(tf.reduce_sum(w * w, list(self.axes), keepdims=True))
        return w / (norm + EPSILON)


Constraint = NonNegative | Norm | UnitNorm
