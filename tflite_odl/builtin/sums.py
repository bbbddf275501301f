"""Sums over images and batches, in stages that keep their precision in XNNPACK."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

# XNNPACK's sum over two axes of 1,024 terms left ResNet-8's stem gradient off by 1e-3,
# axis by axis by 1e-7: what batch norm takes away cancels in the convolution below it.
LONG_SUM = 64


def axis_sums(x: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """Returns the sums over some axes, which stay with size 1."""
    axes = [axis for axis in axes if x.shape[axis] > 1]
    if math.prod(x.shape[axis] for axis in axes) > LONG_SUM:
        for axis in reversed(axes):
            x = tf.reduce_sum(x, [axis], keepdims=True)
        return x
    return tf.reduce_sum(x, axes, keepdims=True) if axes else x


def row_sums(x: tf.Tensor) -> tf.Tensor:
    """Returns [B, 1, ..., C]: sums over all axes but the batch and the channels."""
    return axis_sums(x, range(1, x.shape.rank - 1))


def sum_to(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Returns the sums over the axes that are 1 in `shape`, [B, ...] of x's rank: the
    transpose of broadcasting."""
    return axis_sums(x, [axis for axis, size in enumerate(shape) if size == 1])


def channel_sums(x: tf.Tensor) -> tf.Tensor:
    """Returns [1, ..., C]: sums over all axes but the channels."""
    return tf.reduce_sum(row_sums(x), [0], keepdims=True)


def vector(x: tf.Tensor) -> tf.Tensor:
    """Returns [1, ..., C] as [C]; a RESHAPE to [-1] would leave the partition."""
    return tf.reshape(x, [x.shape[-1]])
