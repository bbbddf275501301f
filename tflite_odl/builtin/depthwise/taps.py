"""DepthwiseConv2D as one multiplication and addition per kernel tap."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
    Tensors,
)
from tflite_odl.builtin.space import Window, joined
from tflite_odl.builtin.sums import channel_sums, row_sums, vector
from tflite_odl.builtin.zeros import zero_of


class Taps(Lowering):
    """y = sum over taps t of x_t k_t; dk_t = sum of x_t dy; dx = scatter of dy k_t."""

    name = "taps"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return node.attributes["multiplier"] == 1

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        taps = window_of(site.node).taps(inputs[0])
        kernels = kernel_taps(site.weights["kernel"])
        y = functools.reduce(operator.add, map(operator.mul, taps, kernels))
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, gradient = window_of(site.node), gradient.full()
        dy, kernel = gradient.value, site.weights["kernel"]
        pairs = self.pairs(window, residual.rows["x"] + zero_of(dy), dy)
        found = {"kernel": filter_of([row_sums(a * d) for a, d in pairs], kernel.shape)}
        if "bias" in site.weights:
            found["bias"] = vector(channel_sums(dy))
        found, kernel = self.scaled(found, kernel, gradient.scale)
        if not site.wanted[0]:
            return Gradients([None], found)
        return Gradients([Gradient.of(self.back(window, dy, kernel))], found)

    def pairs(
        self, window: Window, x: tf.Tensor, dy: tf.Tensor
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Returns for each tap, row by row, two tensors whose product sums to dk."""
        return [(tap, dy) for tap in window.taps(x)]

    def scaled(
        self, found: Tensors, kernel: tf.Tensor, scale: tf.Tensor | None
    ) -> tuple[Tensors, tf.Tensor]:
        """Returns the weights' gradients and the kernel with dy's scale folded in."""
        if scale is None:
            return found, kernel
        column = tf.reshape(scale, [scale.shape[0], 1])
        shaped = {"kernel": column, "bias": scale}
        return {role: value * shaped[role] for role, value in found.items()}, (
            kernel * column
        )

    def back(self, window: Window, dy: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the input's gradient [B, H, W, C]."""
        return window.scatter_taps([dy * k for k in kernel_taps(kernel)])


def filter_of(per_tap: list[tf.Tensor], shape: tf.TensorShape) -> tf.Tensor:
    """Returns the kernel's gradient from its taps' row sums, each [B, 1, 1, C]."""
    kw = shape[1]
    rows = [joined(per_tap[at : at + kw], 2) for at in range(0, len(per_tap), kw)]
    window = joined(rows, 1)
    return tf.reshape(tf.reduce_sum(window, 0), shape)


def kernel_taps(kernel: tf.Tensor) -> list[tf.Tensor]:
    """Returns the taps of a kernel [kh, kw, C, 1], row by row, each [1, C]."""
    kh, kw, c, _ = kernel.shape
    rows = tf.reshape(kernel, [kh * kw, c])
    return [tf.slice(rows, [tap, 0], [1, c]) for tap in range(kh * kw)]
