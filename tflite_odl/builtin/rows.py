"""Which rows of a batch may be learned from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from tflite_odl.builtin.lazy import tf

LARGEST = 3.4e38


@dataclasses.dataclass(frozen=True)
class Checked:
    """A batch with its bad rows zeroed and masked.

    Attributes:
      features: {input name: [B, ...] float32}, zero in rows that are not finite.
      good: [B] float32, 1 for real rows that are finite and whose label is in range.
      labelled: [B] float32, 1 for good rows with a label.
      share: [B] float32, sample weight / number of labelled rows; 0 for the others.
      y: the labels, 0 where there is none.
      rejected: [1] int32, real rows that are not good.
    """

    features: dict[str, tf.Tensor]
    good: tf.Tensor
    labelled: tf.Tensor
    share: tf.Tensor
    y: tf.Tensor
    rejected: tf.Tensor

    @property
    def some(self) -> tf.Tensor:
        """[1] bool: whether there is anything to learn from."""
        return tf.reduce_sum(self.labelled, keepdims=True) > 0.0


def check(
    features: Mapping[str, tf.Tensor],
    y: tf.Tensor,
    count: tf.Tensor,
    read: Callable,
    weight: tf.Tensor | None = None,
) -> Checked:
    """Returns the batch checked row by row.

    Args:
      features: {input name: [B, ...] uint8 or float32}.
      y: as the loss takes it.
      count: [1] int32, how many leading rows are real.
      read: y -> `losses.Labels`.
      weight: [B] float32, of each row in the loss: finite and not negative, else the
        row is bad; None weighs all alike.
    """
    labels = read(y)
    real = tf.range(y.shape[0]) < count
    good = tf.logical_and(real, labels.valid)
    if weight is not None:
        fine = tf.logical_and(weight >= 0.0, weight <= LARGEST)
        good, weight = tf.logical_and(good, fine), tf.where(fine, weight, 0.0)
    clean = {}
    for name, x in features.items():
        if x.dtype == tf.float32:
            finite = finite_rows(x)
            good = tf.logical_and(good, finite)
            column = tf.reshape(finite, [-1] + [1] * (x.shape.rank - 1))
            x = tf.where(column, x, 0.0)
        clean[name] = tf.cast(x, tf.float32)
    labelled = tf.cast(tf.logical_and(good, labels.labelled), tf.float32)
    rows = tf.maximum(tf.reduce_sum(labelled, keepdims=True), 1.0)
    return Checked(
        clean,
        tf.cast(good, tf.float32),
        labelled,
        (labelled if weight is None else labelled * weight) / rows,
        labels.y,
        tf.reshape(_sum(real) - _sum(good), [1]),
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
