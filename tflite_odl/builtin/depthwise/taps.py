"""DepthwiseConv2D as one multiplication and addition per kernel tap."""

from __future__ import annotations

import functools
import itertools
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
from tflite_odl.builtin.space import join_phases, joined, shifted, summed
from tflite_odl.builtin.stencils import moved
from tflite_odl.builtin.sums import axis_sums, channel_sums, vector
from tflite_odl.builtin.window import Window
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
        found = {"kernel": filter_of(pairs, kernel.shape)}
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
        return input_gradient(window, dy, kernel)


def filter_of(
    pairs: list[tuple[tf.Tensor, tf.Tensor]], shape: tf.TensorShape
) -> tf.Tensor:
    """Returns the kernel's gradient: for each tap the sum of two tensors' product.

    Joined after the first of three sums, the taps share the others.
    """
    sums = [tf.reduce_sum(a * d, 2, keepdims=True) for a, d in pairs]
    taps = axis_sums(axis_sums(joined(sums, 2), [1]), [0])
    return tf.reshape(taps, shape)


def input_gradient(window: Window, dy: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns dx [B, H, W, C]: in each phase of the strides, the sum of all taps that
    reach it."""
    (h, w), (sh, sw) = window.size, window.strides
    height, width = -(-h // sh), -(-w // sw)
    found: list[list[list[tf.Tensor]]] = [[[] for _ in range(sw)] for _ in range(sh)]
    moves: dict[tuple[int, int], tf.Tensor] = {}
    reads = itertools.product(window.phases(1), window.phases(2))
    for ((down, row), (right, column)), k in zip(reads, kernel_taps(kernel)):
        if (down, right) not in moves:
            up = moved(dy, 1, -down, height)
            moves[down, right] = moved(up, 2, -right, width)
        found[row][column].append(moves[down, right] * k)
    rows = [
        join_phases([summed(terms) if terms else None for terms in columns], 2)
        if any(columns)
        else None
        for columns in found
    ]
    return shifted(shifted(join_phases(rows, 1), 1, 0, h), 2, 0, w)


def kernel_taps(kernel: tf.Tensor) -> list[tf.Tensor]:
    """Returns the taps of a kernel [kh, kw, C, 1], row by row, each [1, C]."""
    kh, kw, c, _ = kernel.shape
    rows = tf.reshape(kernel, [kh * kw, c])
    return [tf.slice(rows, [tap, 0], [1, c]) for tap in range(kh * kw)]
