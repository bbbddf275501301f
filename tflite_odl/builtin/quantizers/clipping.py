"""Parameterised weight clipping (PWC): a bound c for each output channel, trained.

W_c = clip(W, -c, c)
dW = g 1[|W| <= c],  dc = sum g sign(W) 1[|W| > c]

References: Kang, Ryu and Han, 2023, 10.1109/ACCESS.2023.3238715.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.quantizers.steps import above, sign
from tflite_odl.builtin.sums import sum_to
from tflite_odl.leveling import DEVIATIONS, LEAST


def initial(kernel: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Returns 2.5 standard deviations of each channel, at least 1e-3.

    Args:
      kernel: the weights.
      axes: those that are summed over: all but the channels.
    """
    spread = DEVIATIONS * kernel.std(tuple(axes), dtype=np.float64, keepdims=True)
    return np.maximum(spread, LEAST).astype(np.float32)


def forward(w: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """Returns W_c.

    Args:
      w: weights.
      c: bounds, broadcastable to them.
    """
    return tf.minimum(tf.maximum(w, -c), c)


def backward(g: tf.Tensor, w: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (dW, dc) of the gradient g of W_c; dc has the shape of c."""
    beyond = above(tf.abs(w) - c)
    return g * (1.0 - beyond), sum_to(g * sign(w) * beyond, c.shape)
