"""Rows that are not finite, judged before they are quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import rows

Values = Callable[[Sequence[tf.Tensor]], Mapping[str, tf.Tensor]]


def judged(
    x: Sequence[tf.Tensor], values: Values, whole: bool = False
) -> dict[str, tf.Tensor]:
    """Returns what `values` makes of any rows; one that is not finite comes out as NaN.

    To be quantized would make ordinary numbers of it.

    Args:
      x: one [B, ...] float32 for each input.
      values: x, all of it finite -> tensors [B, ...] by name.
      whole: whether the choice must stay float, as no constant may be int8.
    """
    good = tf.ones([x[0].shape[0]], tf.bool)
    clean = []
    for one in x:
        fine = rows.within(one, -rows.LARGEST, rows.LARGEST)
        good = tf.logical_and(good, fine)
        clean.append(tf.where(_beside(fine, one), one, 0.0))
        if whole:
            # A sum with floats keeps the choice and its constant 0 from int8.
            clean[-1] += _beside(tf.where(fine, 0.0, 1.0), one)
    spoiled = tf.where(good, 0.0, np.float32(np.nan))
    return {n: value + _beside(spoiled, value) for n, value in values(clean).items()}


def _beside(mask: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(mask, [-1] + [1] * (x.shape.rank - 1))
