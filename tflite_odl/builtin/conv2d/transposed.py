"""Conv2DTranspose: a convolution's passes in exchanged roles."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.conv2d.patches import Patches
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.sums import channel_sums, vector


class Transposed(Lowering):
    """The convolution from y to x with the window and the kernel [kh, kw, F, C].

    y is its input gradient for x, dx its output for dy, dK its filter gradient.
    """

    name = "transposed_patches"
    _convolution = Patches()

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        kernel = tf.convert_to_tensor(site.weights["kernel"])
        y = self._convolution.back(window_of(site.node), inputs[0], kernel)
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, dy = window_of(site.node), gradient.dense()
        kernel = tf.convert_to_tensor(site.weights["kernel"])
        columns, x = self._convolution.columns(window, dy), residual.rows["x"]
        found = {}
        if site.node.trainable:
            found["kernel"], _ = self._convolution.filter(
                window, columns, x, kernel.shape
            )
            if "bias" in site.weights:
                found["bias"] = vector(channel_sums(dy))
        if not site.wanted[0]:
            return Gradients([None], found)
        dx = self._convolution.apply(window, columns, kernel)
        return Gradients([Gradient.of(dx)], found)
