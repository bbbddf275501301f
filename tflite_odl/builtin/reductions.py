"""Sums, means, maxima and minima over any axes but the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.activations import positive
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.sums import axis_sums


class Sum(Lowering):
    """y = sum of x over `axes`, times `factor`; each entry's gradient is dy times it.

    The node's attributes: `axes`, counted with the batch as 0; `factor`, one over their
    size for a mean; `input`, the shape of x without its batch.
    """

    name = "sum"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a = site.node.attributes
        y = axis_sums(inputs[0], a["axes"])
        y = y if a["factor"] == 1.0 else y * a["factor"]
        return Output(tf.reshape(y, [-1, *site.node.shape]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        a, dy = site.node.attributes, gradient.dense()
        dy = tf.reshape(dy, [dy.shape[0], *_kept(site)])
        dy = dy if a["factor"] == 1.0 else dy * a["factor"]
        return Gradients([Gradient(dy, (dy.shape[0], *a["input"]))])


class Largest(Lowering):
    """y = the maximum of x over `axes`, or the minimum by `sign` -1; entries that share
    it share dy evenly, since that is TensorFlow's gradient."""

    name = "largest"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, x = site.node.attributes, inputs[0]
        reduce = tf.reduce_max if a["sign"] > 0 else tf.reduce_min
        y = reduce(x, a["axes"], keepdims=True)
        return Output(tf.reshape(y, [-1, *site.node.shape]), Residual({"x": x, "y": y}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        a, x, y = site.node.attributes, residual.rows["x"], residual.rows["y"]
        dy = tf.reshape(gradient.dense(), y.shape)
        largest = 1.0 - positive((y - x) * a["sign"])
        return Gradients([Gradient.of(largest * (dy / axis_sums(largest, a["axes"])))])


def factor(shape: Sequence[int], axes: Sequence[int], mean: bool) -> float:
    """Returns what a sum over these axes of [B, *shape] is multiplied by."""
    return 1.0 / math.prod(shape[axis - 1] for axis in axes) if mean else 1.0


def _kept(site: Site) -> list[int]:
    """Returns the input's shape without its batch, its reduced axes of size one."""
    axes, shape = site.node.attributes["axes"], site.node.attributes["input"]
    return [1 if k in axes else size for k, size in enumerate(shape, 1)]


FAMILIES = {
    "reduce_sum": (Sum(),),
    "reduce_extremum": (Largest(),),
}
