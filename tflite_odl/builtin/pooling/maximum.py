"""Max pooling."""

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
from tflite_odl.builtin.pooling.windows import below, padding_name
from tflite_odl.builtin.window import Window

LOWEST = np.finfo(np.float32).min


class MaxPool(Lowering):
    """r = max over the width of a window, y = max of r over its height.

    A window's gradient goes to its first maximum, row by row, as in TensorFlow: down
    the height to the first row whose r is y, along that row to the first x that is r.
    So kh + kw taps are compared, where a window has kh kw.
    """

    name = "split_max_pool"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        window, x = window_of(site.node), inputs[0]
        (kh, kw), (sh, sw) = window.kernel, window.strides
        padding = padding_name(window)
        if not site.run.wants:
            return Output(tf.nn.max_pool2d(x, (kh, kw), (sh, sw), padding))
        r = y = x
        if (kw, sw) != (1, 1):
            r = y = tf.nn.max_pool2d(x, (1, kw), (1, sw), padding)
        if (kh, sh) != (1, 1):
            y = tf.nn.max_pool2d(r, (kh, 1), (sh, 1), padding)
        return Output(y, Residual(rows={"x": x, "r": r, "y": y}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, rows = window_of(site.node), residual.rows
        dr = _to_first(window, 1, rows["r"], rows["y"], gradient.dense())
        return Gradients([Gradient.of(_to_first(window, 2, rows["x"], rows["r"], dr))])


def _to_first(
    window: Window, axis: int, x: tf.Tensor, y: tf.Tensor, dy: tf.Tensor
) -> tf.Tensor:
    """Returns dx: each dy at the first tap along the axis where x is y."""
    last = window.kernel[axis - 1] - 1
    found, left = [], dy
    for tap in range(last):
        rest = left * below(_read(window, axis, tap, x), y)
        found.append(left - rest)
        left = rest
    return window.scatter_along([*found, left], axis)


def _read(window: Window, axis: int, tap: int, x: tf.Tensor) -> tf.Tensor:
    """Returns what the tap reads along the axis, the lowest number outside x."""
    at = axis - 1
    read = tap - window.padding[at][0]
    reads = read + np.arange(window.out[at]) * window.strides[at]
    outside = (reads < 0) | (reads >= window.size[at])
    value = window.along(x, axis, tap)
    if not outside.any():
        return value
    shape = [1, -1, 1, 1] if axis == 1 else [1, 1, -1, 1]
    return value + np.where(outside, LOWEST, np.float32(0)).reshape(shape)
