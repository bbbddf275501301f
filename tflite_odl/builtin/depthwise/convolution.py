"""DepthwiseConv2D as DEPTHWISE_CONV_2D, weights from a variable: few ops, fast."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.depthwise.taps import Taps
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import Output, Residual, Site
from tflite_odl.builtin.space import join_phases, shifted
from tflite_odl.builtin.window import Window


class Convolution(Taps):
    """y by DEPTHWISE_CONV_2D; dx by the same op on dy with the kernel reversed, its
    pixels apart by the stride; dk by taps.

    The op leaves the XNNPACK partition when its weights are a variable, and is still
    four times faster than nine multiplications and additions.
    """

    name = "convolution"
    delegated = False

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        equal = a["strides"][0] == a["strides"][1]  # TensorFlow's op has no others
        return a["multiplier"] == 1 and a["dilation"] == (1, 1) and equal

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        window = window_of(site.node)
        x, padding = window.padded(inputs[0])
        strides = [1, *window.strides, 1]
        y = tf.nn.depthwise_conv2d(x, site.weights["kernel"], strides, padding)
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def back(self, window: Window, dy: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns dx [B, H, W, C]: dy spread by the stride, convolved in reverse."""
        (kh, kw), (sh, sw) = window.kernel, window.strides
        (top, _), (left, _) = window.padding
        h, w = window.size
        spread = join_phases([dy, *[None] * (sh - 1)], 1)
        spread = join_phases([spread, *[None] * (sw - 1)], 2)
        # dx[r] = sum over i of spread[r + top - i] k[i], a correlation with k reversed.
        spread = shifted(spread, 1, top - kh + 1, h + kh - 1)
        spread = shifted(spread, 2, left - kw + 1, w + kw - 1)
        return tf.nn.depthwise_conv2d(spread, _reversed(kernel), [1] * 4, "VALID")


def _reversed(kernel: tf.Tensor) -> tf.Tensor:
    """Returns the kernel [kh, kw, C, 1] turned by 180 degrees.

    By GATHER: a REVERSE_V2 over two axes at once is wrong in TFLite 2.14.
    """
    kh, kw, c, _ = kernel.shape
    rows = tf.gather(tf.reshape(kernel, [kh * kw, c]), list(range(kh * kw))[::-1])
    return tf.reshape(rows, kernel.shape)
