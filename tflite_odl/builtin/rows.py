"""Which rows of a batch may be learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from tflite_odl.builtin.lazy import tf

LARGEST = 3.4e38


@dataclasses.dataclass(frozen=True)
class Counted:
    """The features of a batch, and which rows of it count.

    Attributes:
      x: one [B, ...] float32 for each input, 0 in bad rows.
      real: [B] bool, rows that are no padding.
      good: [B] bool, real rows whose features are within bounds.
    """

    x: list[tf.Tensor]
    real: tf.Tensor
    good: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A batch with labels, its bad rows zeroed and masked.

    Attributes:
      x: one [B, ...] float32 for each input, 0 in rows that are out of bounds.
      good: [B] float32, 1 for real rows within bounds whose label is in range.
      labelled: [B] float32, 1 for good rows with a label.
      share: [B] float32, sample weight / number of labelled rows; 0 for the others.
      y: the labels, 0 where there is none.
      rejected: [1] int32, real rows that are not good.
    """

    x: list[tf.Tensor]
    good: tf.Tensor
    labelled: tf.Tensor
    share: tf.Tensor
    y: tf.Tensor
    rejected: tf.Tensor

    @property
    def some(self) -> tf.Tensor:
        """[1] bool: whether there is anything to learn from."""
        return tf.reduce_sum(self.labelled, keepdims=True) > 0.0


def counted(
    x: Sequence[tf.Tensor],
    count: tf.Tensor,
    limits: Sequence[tuple[float, float] | None],
) -> Counted:
    """Returns the features with the rows out of bounds zeroed.

    Args:
      x: one [B, ...] float32 for each input, preprocessed.
      count: [1] int32, how many leading rows are real.
      limits: for each input the least and the largest value that may be learned from;
        None where none can be beyond.
    """
    real = tf.range(x[0].shape[0]) < count
    good, clean = real, []
    for one, limit in zip(x, limits, strict=True):
        if limit is not None:
            fine = within(one, *limit)
            good = tf.logical_and(good, fine)
            one = tf.where(
                tf.reshape(fine, [-1] + [1] * (one.shape.rank - 1)), one, 0.0
            )
        clean.append(one)
    return Counted(clean, real, good)


def labelled(
    rows: Counted, y: tf.Tensor, read: Callable, weight: tf.Tensor | None = None
) -> Labelled:
    """Returns the rows with their labels, checked row by row.

    Args:
      rows: the features.
      y: as the loss takes it.
      read: y -> `losses.Labels`.
      weight: [B] float32, of each row in the loss: finite and not negative, else the
        row is bad; None weighs all alike.
    """
    labels = read(y)
    good = tf.logical_and(rows.good, labels.valid)
    if weight is not None:
        fine = tf.logical_and(weight >= 0.0, weight <= LARGEST)
        good, weight = tf.logical_and(good, fine), tf.where(fine, weight, 0.0)
    learn = tf.cast(tf.logical_and(good, labels.labelled), tf.float32)
    total = tf.maximum(tf.reduce_sum(learn, keepdims=True), 1.0)
    return Labelled(
        rows.x,
        tf.cast(good, tf.float32),
        learn,
        (learn if weight is None else learn * weight) / total,
        labels.y,
        rejected(rows.real, good),
    )


def rejected(real: tf.Tensor, good: tf.Tensor) -> tf.Tensor:
    """Returns [1] int32: how many real rows, [B] bool, are not good, [B] bool."""
    return tf.reshape(_sum(real) - _sum(good), [1])


def within(x: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Returns [B] bool: whether no value of a row is NaN, below low or above high.

    What is beyond adds up to something above 0, or to NaN.
    """
    middle, reach = (low + high) / 2, (high - low) / 2
    size = tf.abs(x - middle if middle else x)
    beyond = size - tf.minimum(size, reach)
    return tf.reduce_sum(beyond, list(range(1, x.shape.rank))) <= 0.0


def finite(value: tf.Tensor) -> tf.Tensor:
    """Returns [1] bool: whether a [1] tensor is neither NaN nor infinite."""
    return tf.abs(value) <= LARGEST


def _sum(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(flags, tf.int32))
