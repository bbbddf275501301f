"""Average pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.pooling.windows import padding_name
from tflite_odl.builtin.window import Window


class AveragePool(Lowering):
    """y = sum of the window's pixels inside the image / n, n being how many they are.

    dx: every pixel of a window gets dy / n, first along the width, then the height.
    """

    name = "average_pool"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        window = window_of(site.node)
        y = tf.nn.avg_pool2d(
            inputs[0], window.kernel, window.strides, padding_name(window)
        )
        return Output(y)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window = window_of(site.node)
        kh, kw = window.kernel
        share = gradient.dense() * _shares(window)
        rows = window.scatter_along([share] * kw, 2)
        return Gradients([Gradient.of(window.scatter_along([rows] * kh, 1))])


def _shares(window: Window) -> np.ndarray:
    """Returns 1 / n for each output: [1, H', W', 1], or [] where all are the same."""
    rows, columns = (_inside(window, axis) for axis in (0, 1))
    shares = (1.0 / np.outer(rows, columns)).astype(np.float32)
    same = (shares == shares[0, 0]).all()
    return shares[0, 0] if same else shares[None, :, :, None]


def _inside(window: Window, axis: int) -> np.ndarray:
    """Returns how many taps of each output are inside the image along one axis."""
    taps = np.arange(window.kernel[axis])[:, None] - window.padding[axis][0]
    reads = taps + np.arange(window.out[axis]) * window.strides[axis]
    return ((reads >= 0) & (reads < window.size[axis])).sum(0)
