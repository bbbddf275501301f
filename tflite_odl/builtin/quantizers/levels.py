"""The values that quantized weights may have, of clipped weights W_c.

Rounding and sign count as the identity in backward, scales as constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.quantizers.steps import above, sign
from tflite_odl.builtin.sums import axis_sums
from tflite_odl.leveling import THRESHOLD


def binary(w: tf.Tensor, axes: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (sign(W) a, a): a = mean |W| of the channel; dW = a g.

    References: Rastegari et al., 2016, arXiv:1603.05279.
    """
    scale = _mean(tf.abs(w), axes)
    return sign(w) * scale, scale


def ternary(w: tf.Tensor, axes: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (a sign(W) 1[|W| > d], a): d = .7 mean |W|, a = mean |W| above d;
    dW = a g."""
    size = tf.abs(w)
    kept = above(size - THRESHOLD * _mean(size, axes))
    count = tf.maximum(axis_sums(kept, axes), 1.0)
    scale = axis_sums(size * kept, axes) / count
    return sign(w) * kept * scale, scale


def rounded(w: tf.Tensor, c: tf.Tensor, bits: int) -> tf.Tensor:
    """Returns c round(W / c n) / n, n = 2^(bits - 1) - 1, halves to even; dW = g.

    It is a whole number times the scale c / n, as an integer kernel has it.
    """
    n = steps(bits)
    # Not a division by n, which the converter makes a product with its reciprocal.
    return tf.round(w / c * n) * (c * (1.0 / n))


def steps(bits: int) -> float:
    """Returns n: levels on each side of 0."""
    return 2.0 ** (bits - 1) - 1.0


def _mean(x: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return axis_sums(x, axes) * (1.0 / count)
