"""DepthwiseConv2D of stride 1 by broadcast products, a row of taps at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.depthwise.convolution import Convolution
from tflite_odl.builtin.depthwise.taps import Taps
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import Output, Residual, Site
from tflite_odl.builtin.space import joined, summed
from tflite_odl.builtin.stencils import moved, sum_columns
from tflite_odl.builtin.window import Window


class Products(Taps):
    """Row i of the kernel: x k_i [B, H, W, kw, C], one product, summed by one stencil.

    y = sum over i of these sums moved up by i - top; dx likewise from dy;
    dk_ij = sum of x moved by column j times dy moved by row i.
    Without a backward pass to come, one DEPTHWISE_CONV_2D.
    """

    name = "products"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        plain = a["strides"] == (1, 1) and a["dilation"] == (1, 1)
        return plain and a["multiplier"] == 1

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        if not site.run.wants:
            return Convolution().forward(site, inputs)
        window, x = window_of(site.node), inputs[0]
        (kh, kw), (top, left) = window.kernel, (pad[0] for pad in window.padding)
        height, width = window.out
        # In reverse, parts that lie to the right are added to what lies to the left.
        taps = [_row(site.weights["kernel"], i, range(kw)[::-1]) for i in range(kh)]
        y = summed(
            moved(_swept(x, taps[i], kw - 1 - left, width), 1, i - top, height)
            for i in range(kh)
        )
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": x}))

    def pairs(self, window: Window, x: tf.Tensor, dy: tf.Tensor):
        (kh, kw), (top, left) = window.kernel, (pad[0] for pad in window.padding)
        height, width = window.size[0], window.out[1]
        rows = [moved(dy, 1, top - i, height) for i in range(kh)]
        columns = [moved(x, 2, j - left, width) for j in range(kw)]
        return [(column, row) for row in rows for column in columns]

    def back(self, window: Window, dy: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        (kh, kw), (top, left) = window.kernel, (pad[0] for pad in window.padding)
        height, width = window.size
        taps = [_row(kernel, i, range(kw)) for i in range(kh)]
        return summed(
            moved(_swept(dy, taps[i], left, width), 1, top - i, height)
            for i in range(kh)
        )


def _row(kernel: tf.Tensor, row: int, columns: Sequence[int]) -> tf.Tensor:
    """Returns [kw, C]: one row of a kernel [kh, kw, C, 1], its columns in an order."""
    kh, kw, c, _ = kernel.shape
    flat = tf.reshape(kernel, [kh * kw, c])
    taps = [tf.slice(flat, [row * kw + j, 0], [1, c]) for j in columns]
    return joined(taps, 0)


def _swept(x: tf.Tensor, taps: tf.Tensor, before: int, width: int) -> tf.Tensor:
    """Returns y [B, H, width, C]: the sum over j of x taps_j moved right by j - before.

    Args:
      x: [B, H, W, C].
      taps: [kw, C].
    """
    kw, c = taps.shape
    product = tf.reshape(x, [math.prod(x.shape[:-1]), 1, c]) * taps
    product = tf.reshape(product, [*x.shape[:-1], kw * c])
    return sum_columns(product, kw, before, width)
