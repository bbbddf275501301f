"""DepthwiseConv2D with frozen weights: DEPTHWISE_CONV_2D on constants."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.depthwise.taps import input_gradient
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)


class Constant(Lowering):
    """DEPTHWISE_CONV_2D forward; backward by taps where something below learns."""

    name = "constant"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        equal = a["strides"][0] == a["strides"][1]  # TensorFlow's op has no others
        return not node.trainable and a["multiplier"] == 1 and equal

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, window = site.node.attributes, window_of(site.node)
        x, padding = window.padded(inputs[0])
        y = tf.nn.depthwise_conv2d(
            x,
            site.weights["kernel"],
            [1, *a["strides"], 1],
            padding,
            dilations=a["dilation"],
        )
        return Output(y + site.weights["bias"] if "bias" in site.weights else y)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        if not site.wanted[0]:
            return Gradients([None])
        window, kernel = window_of(site.node), site.weights["kernel"]
        dx = input_gradient(window, gradient.dense(), kernel)
        return Gradients([Gradient.of(dx)])
