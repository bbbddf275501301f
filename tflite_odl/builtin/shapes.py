"""Ops without weights that move or average activations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.space import cut, shifted


class GlobalAveragePool(Lowering):
    """Mean over H and W; each pixel's gradient is dy / (H W), left unbroadcast."""

    name = "mean"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = tf.reduce_mean(inputs[0], [1, 2], keepdims=True)
        return Output(tf.reshape(y, [-1, *site.node.shape]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        h, w, c = site.node.attributes["input"]
        share = gradient.dense() * (1.0 / (h * w))
        batch = gradient.shape[0]
        pixel = tf.reshape(share, [batch, 1, 1, c])
        return Gradients([Gradient(pixel, (batch, h, w, c))])


class Reshape(Lowering):
    """Flatten and Reshape: the gradient is reshaped back."""

    name = "reshape"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(tf.reshape(inputs[0], [-1, *site.node.shape]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy = gradient.dense()
        shape = [dy.shape[0], *site.node.attributes["input"]]
        return Gradients([Gradient.of(tf.reshape(dy, shape))])


class Permute(Lowering):
    """Axes in another order; the gradient's are put back."""

    name = "transpose"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(tf.transpose(inputs[0], [0, *site.node.attributes["order"]]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        order = [0, *site.node.attributes["order"]]
        back = [order.index(axis) for axis in range(len(order))]
        return Gradients([Gradient.of(tf.transpose(gradient.dense(), back))])


class ZeroPad(Lowering):
    """Zeros around the first axes; the gradient is the part inside.

    `padding` has (before, after) for each axis that is padded, from axis 1 on.
    """

    name = "zero_pad"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(_moved(inputs[0], site, -1, site.node.shape))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        inside = _moved(gradient.dense(), site, 1, site.node.attributes["input"])
        return Gradients([Gradient.of(inside)])


def _moved(x: tf.Tensor, site: Site, sign: int, shape: Sequence[int]) -> tf.Tensor:
    for axis, (before, _) in enumerate(site.node.attributes["padding"], 1):
        x = shifted(x, axis, sign * before, shape[axis - 1])
    return x


class Slice(Lowering):
    """x[begin : : step] with a given number of entries, for each axis but the batch;
    the gradient is dy there, zero elsewhere."""

    name = "slice"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, a = inputs[0], site.node.attributes
        for axis, (begin, step, size) in enumerate(a["ranges"], 1):
            if step == 1:
                x = cut(x, axis, begin, size)
            else:
                blocks = shifted(x, axis, begin, size * step)
                blocks = tf.reshape(blocks, _blocks(x.shape, axis, size, step))
                shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
                x = tf.reshape(cut(blocks, 2, 0, 1), shape)
        return Output(x)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        a, dy = site.node.attributes, gradient.dense()
        for axis, (begin, step, size) in enumerate(a["ranges"], 1):
            if step > 1:
                shape = [*dy.shape[:axis], size * step, *dy.shape[axis + 1 :]]
                blocks = tf.reshape(dy, _blocks(dy.shape, axis, size, 1))
                dy = tf.reshape(shifted(blocks, 2, 0, step), shape)
            dy = shifted(dy, axis, -begin, a["input"][axis - 1])
        return Gradients([Gradient.of(dy)])


def _blocks(shape: Sequence[int], axis: int, size: int, step: int) -> list[int]:
    """Returns a shape [before, size, step, after] around an axis."""
    return [math.prod(shape[:axis]), size, step, math.prod(shape[axis + 1 :])]


class Repeat(Lowering):
    """[B, C] repeated to [B, n, C]; the gradient is the sum."""

    name = "repeat"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        count, c = site.node.shape
        x = tf.reshape(inputs[0], [-1, 1, c])
        return Output(x * tf.ones([1, count, 1]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([Gradient.of(tf.reduce_sum(gradient.dense(), 1))])


FAMILIES = {
    "reshape": (Reshape(),),
    "permute": (Permute(),),
    "zero_pad": (ZeroPad(),),
    "zero_pad_1d": (ZeroPad(),),
    "slice": (Slice(),),
    "repeat": (Repeat(),),
}
