"""What augmentations make of uniform numbers."""

from __future__ import annotations

import math

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.masks import positive


def chosen(uniform: tf.Tensor, probability: float) -> tf.Tensor:
    """Returns float32 of the same shape: 1 where uniform < probability, else 0.

    Uniforms are multiples of 2^-24: half a step below them nothing is equal.
    """
    return positive((probability - 2.0**-25) - uniform)


def between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Returns low + (high - low) uniform."""
    return uniform * (high - low) + low


def normal(radius: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """Returns standard normal numbers of two uniform tensors of one shape.

    References: Box and Muller, 1958, doi 10.1214/aoms/1177706645.
    """
    length = tf.sqrt(tf.math.log(1.0 - radius) * -2.0)
    return length * tf.cos(angle * (2.0 * math.pi))


def order(uniform: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Returns [B, K] int32: a random order of 0 .. K - 1 in each row.

    Args:
      uniform: [B, K]; the order is that of these numbers, largest first.
      kept: [B, 1] float32, 1 where the order is to be 0, 1, 2, ... instead.
    """
    size = uniform.shape[1]
    descending = tf.constant([[float(-k) for k in range(size)]])
    key = uniform * (1.0 - kept) + descending * kept
    return tf.math.top_k(key, size).indices
