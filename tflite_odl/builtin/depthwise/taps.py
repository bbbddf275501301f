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
    Pass,
    Residual,
    Tensors,
)


class Taps(Lowering):
    """y = sum over taps t of x_t k_t; dk_t = sum of x_t dy; dx = scatter of dy k_t."""

    name = "taps"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return node.attributes["multiplier"] == 1

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        taps = window_of(node).taps(inputs[0])
        kernels = kernel_taps(weights["kernel"])
        y = functools.reduce(operator.add, map(operator.mul, taps, kernels))
        if "bias" in weights:
            y = y + weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        window, gradient = window_of(node), gradient.full()
        dy, kernel = gradient.value, weights["kernel"]
        taps = window.taps(residual.rows["x"])
        per_tap = [tf.reduce_sum(tf.reduce_sum(x * dy, [1, 2]), 0) for x in taps]
        found = {"kernel": tf.reshape(tf.stack(per_tap), kernel.shape)}
        if "bias" in weights:
            found["bias"] = tf.reduce_sum(tf.reduce_sum(dy, [1, 2]), 0)
        if gradient.scale is not None:
            column = tf.reshape(gradient.scale, [-1, 1])
            found["kernel"] = found["kernel"] * column
            kernel = kernel * column
            if "bias" in found:
                found["bias"] = found["bias"] * gradient.scale
        if not run.wanted(node)[0]:
            return Gradients([None], found)
        dx = window.scatter_taps([dy * k for k in kernel_taps(kernel)])
        return Gradients([Gradient.of(dx)], found)


def kernel_taps(kernel: tf.Tensor) -> list[tf.Tensor]:
    """Returns the taps of a kernel [kh, kw, C, 1], row by row, each [C]."""
    kh, kw, c, _ = kernel.shape
    rows = tf.reshape(kernel, [kh * kw, c])
    return [tf.reshape(tf.slice(rows, [t, 0], [1, c]), [c]) for t in range(kh * kw)]
