"""DepthwiseConv2D of stride 1, its shifts split in width and height."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.depthwise.convolution import Convolution
from tflite_odl.builtin.depthwise.taps import Taps, filter_of, kernel_taps
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.space import Window, shifted, summed
from tflite_odl.builtin.sums import channel_sums, row_sums, vector


class SplitTaps(Taps):
    """A_j: x shifted by column j; D_i: dy shifted by row i.

    y = sum over i of (sum over j of A_j k_ij) shifted by i - top
    dk_ij = sum of A_j D_i
    dx = sum over j of (sum over i of D_i k_ij) shifted by left - j

    So kh + kw shifts each way, where tap by tap they would be kh kw. Without a backward
    pass to come, one DEPTHWISE_CONV_2D.
    """

    name = "split_taps"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        plain = a["strides"] == (1, 1) and a["dilation"] == (1, 1)
        return plain and a["multiplier"] == 1

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        if not site.run.wants:
            return Convolution().forward(site, inputs)
        window = window_of(site.node)
        (top, _), (left, _) = window.padding
        (kh, kw), (height, width) = window.kernel, window.out
        columns = [shifted(inputs[0], 2, j - left, width) for j in range(kw)]
        taps = kernel_taps(site.weights["kernel"])
        y = summed(
            shifted(
                summed(columns[j] * taps[i * kw + j] for j in range(kw)),
                1,
                i - top,
                height,
            )
            for i in range(kh)
        )
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        rows = {f"column{j}": column for j, column in enumerate(columns)}
        return Output(y, Residual(rows=rows))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, gradient = window_of(site.node), gradient.full()
        dy, kh, kw = gradient.value, *window.kernel
        top, height = window.padding[0][0], window.size[0]
        spread = [shifted(dy, 1, top - i, height) for i in range(kh)]
        columns = [residual.rows[f"column{j}"] for j in range(kw)]
        products = [row_sums(a * d) for d in spread for a in columns]
        kernel = site.weights["kernel"]
        found = {"kernel": filter_of(products, kernel.shape)}
        if "bias" in site.weights:
            found["bias"] = vector(channel_sums(dy))
        found, kernel = self.scaled(found, kernel, gradient.scale)
        if not site.wanted[0]:
            return Gradients([None], found)
        return Gradients([Gradient.of(_back(window, spread, kernel))], found)


def _back(window: Window, spread: list[tf.Tensor], kernel: tf.Tensor) -> tf.Tensor:
    """Returns dx [B, H, W, C]."""
    (kh, kw), left, width = window.kernel, window.padding[1][0], window.size[1]
    taps = kernel_taps(kernel)
    return summed(
        shifted(
            summed(spread[i] * taps[i * kw + j] for i in range(kh)), 2, left - j, width
        )
        for j in range(kw)
    )
