"""Ops without weights that move, join or average activations."""

from __future__ import annotations

import functools
import operator
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
from tflite_odl.builtin.space import shifted


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


class Add(Lowering):
    """Sum of the inputs; each one's gradient is the output's."""

    name = "add"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(functools.reduce(operator.add, inputs))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([gradient] * len(site.node.inputs))


class Reshape(Lowering):
    """Flatten and Reshape: the gradient is reshaped back."""

    name = "reshape"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(tf.reshape(inputs[0], [-1, *site.node.shape]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy = gradient.dense()
        shape = [dy.shape[0], *site.node.attributes["input"]]
        return Gradients([Gradient.of(tf.reshape(dy, shape))])


class ZeroPad(Lowering):
    """Zeros around H and W; the gradient is the part inside."""

    name = "zero_pad"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        (top, _), (left, _) = site.node.attributes["padding"]
        h, w, _ = site.node.shape
        return Output(shifted(shifted(inputs[0], 1, -top, h), 2, -left, w))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        (top, _), (left, _) = site.node.attributes["padding"]
        h, w, _ = site.node.attributes["input"]
        inside = shifted(shifted(gradient.dense(), 1, top, h), 2, left, w)
        return Gradients([Gradient.of(inside)])
