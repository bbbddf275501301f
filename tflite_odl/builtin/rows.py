"""Which rows of a batch may be learned from, and whether a step may be kept."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

LARGEST = 3.4e38


@dataclasses.dataclass(frozen=True)
class Checked:
    """A batch with its bad rows zeroed and masked.

    Attributes:
      x: [B, ...] float32, zero in rejected float rows.
      good: [B] float32, 1 for real rows that are finite and whose label is in range.
      labelled: [B] float32, 1 for good rows with a label.
      labels: [B] int32, 0 where there is none.
      rejected: [1] int32, real rows that are not good.
    """

    x: tf.Tensor
    good: tf.Tensor
    labelled: tf.Tensor
    labels: tf.Tensor
    rejected: tf.Tensor


def check(x: tf.Tensor, y: tf.Tensor, count: tf.Tensor, classes: int) -> Checked:
    """Returns the batch checked row by row.

    Args:
      x: [B, ...] uint8 or float32.
      y: [B] int32, -1 = unlabelled.
      count: [1] int32, how many leading rows are real.
      classes: labels from 0 to classes - 1 are in range.
    """
    real = tf.range(x.shape[0]) < count
    in_range = tf.logical_and(y >= -1, y < classes)
    good = tf.logical_and(real, in_range)
    if x.dtype == tf.float32:
        finite = finite_rows(x)
        good = tf.logical_and(good, finite)
        column = tf.reshape(finite, [-1] + [1] * (x.shape.rank - 1))
        x = tf.where(column, x, 0.0)
    labelled = tf.logical_and(good, y >= 0)
    rejected = _sum(real) - _sum(good)
    return Checked(
        tf.cast(x, tf.float32),
        tf.cast(good, tf.float32),
        tf.cast(labelled, tf.float32),
        tf.maximum(y, 0),
        tf.reshape(rejected, [1]),
    )


def finite_rows(x: tf.Tensor) -> tf.Tensor:
    """Returns [B] bool: whether a row holds neither NaN nor infinity.

    The absolute values are scaled down so that large finite ones do not overflow.
    """
    small = 1.0 / max(math.prod(x.shape[1:]), 2)
    total = tf.reduce_sum(tf.abs(x) * small, list(range(1, x.shape.rank)))
    return total <= LARGEST


def finite(value: tf.Tensor) -> tf.Tensor:
    """Returns [1] bool: whether a [1] tensor is neither NaN nor infinite."""
    return tf.abs(value) <= LARGEST


def _sum(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(flags, tf.int32))
