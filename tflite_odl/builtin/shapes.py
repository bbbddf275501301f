"""Ops without weights that move, join or average activations."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import tensorflow as tf

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
from tflite_odl.builtin.space import shifted


class GlobalAveragePool(Lowering):
    """Mean over H and W; each pixel's gradient is dy / (H W), left unbroadcast."""

    name = "mean"

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        y = tf.reduce_mean(inputs[0], [1, 2], keepdims=True)
        return Output(tf.reshape(y, [-1, *node.shape]))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        h, w, c = node.attributes["input"]
        share = gradient.dense() * (1.0 / (h * w))
        batch = gradient.shape[0]
        pixel = tf.reshape(share, [batch, 1, 1, c])
        return Gradients([Gradient(pixel, (batch, h, w, c))])


class Add(Lowering):
    """Sum of the inputs; each one's gradient is the output's."""

    name = "add"

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        return Output(functools.reduce(operator.add, inputs))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        return Gradients([gradient] * len(node.inputs))


class Reshape(Lowering):
    """Flatten and Reshape: the gradient is reshaped back."""

    name = "reshape"

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        return Output(tf.reshape(inputs[0], [-1, *node.shape]))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        dy = gradient.dense()
        shape = [dy.shape[0], *node.attributes["input"]]
        return Gradients([Gradient.of(tf.reshape(dy, shape))])


class ZeroPad(Lowering):
    """Zeros around H and W; the gradient is the part inside."""

    name = "zero_pad"

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        (top, _), (left, _) = node.attributes["padding"]
        h, w, _ = node.shape
        return Output(shifted(shifted(inputs[0], 1, -top, h), 2, -left, w))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        (top, _), (left, _) = node.attributes["padding"]
        h, w, _ = node.attributes["input"]
        inside = shifted(shifted(gradient.dense(), 1, top, h), 2, left, w)
        return Gradients([Gradient.of(inside)])
