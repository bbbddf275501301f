"""Conv2D with frozen weights: CONV_2D on constants, the fastest kernel there is."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.conv2d.grouped import input_gradient
from tflite_odl.builtin.conv2d.patches import Patches
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.space import shifted


class Constant(Lowering):
    """CONV_2D forward; TRANSPOSE_CONV backward where something below still learns."""

    name = "constant"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return not node.trainable

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, window = site.node.attributes, window_of(site.node)
        x, padding = window.padded(inputs[0])
        y = tf.nn.conv2d(
            x, site.weights["kernel"], a["strides"], padding, dilations=a["dilation"]
        )
        return Output(y + site.weights["bias"] if "bias" in site.weights else y)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        if not site.wanted[0]:
            return Gradients([None])
        window = window_of(site.node)
        groups = site.node.attributes["groups"]
        if groups > 1 or window.dilation != (1, 1):  # TRANSPOSE_CONV knows neither
            dy, kernel = gradient.dense(), site.weights["kernel"]
            dx = input_gradient(Patches(), window, dy, kernel, groups)
            return Gradients([Gradient.of(dx)])
        (top, bottom), (left, right) = window.padding
        h, w = window.size
        batch, channels = gradient.shape[0], site.weights["kernel"].shape[2]
        dx = tf.nn.conv2d_transpose(
            gradient.dense(),
            site.weights["kernel"],
            [batch, h + top + bottom, w + left + right, channels],
            window.strides,
            "VALID",
        )
        dx = shifted(shifted(dx, 1, top, h), 2, left, w)
        return Gradients([Gradient.of(dx)])
