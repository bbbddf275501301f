"""Activations: elementwise functions and softmax."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.zeros import zero_of

# Times this, every normal positive float32 clips to 1 and zero stays 0.
HUGE = 1e38


class Elementwise(Lowering):
    """y = f(x) where f' can be written in terms of y: `apply` and `slope`."""

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = self.apply(site.node, inputs[0])
        return Output(y, Residual(rows={"y": y}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([gradient.times(self.slope(site.node, residual.rows["y"]))])

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(type(self).__name__)

    def slope(self, node: Node, y: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(type(self).__name__)


class Relu(Elementwise):
    """relu and relu6. The gradient's mask is 1 for y > 0, by a clipped product: one MUL
    with a fused RELU_N1_TO_1; GREATER and CAST would leave the XNNPACK partition."""

    name = "clipped_mask"

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu6(x) if node.attributes["limit"] == 6 else tf.nn.relu(x)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        y, zero = residual.rows["y"], zero_of(gradient.value)
        if site.node.attributes["limit"] == 6:
            y = ((6.0 + zero) - y) * y
        mask = tf.clip_by_value(y * (HUGE + zero), -1.0, 1.0)
        return Gradients([gradient.times(mask)])


class Softmax(Lowering):
    """y = softmax(x) over the last axis; dx = y (dy - sum dy y)."""

    name = "softmax"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = tf.nn.softmax(inputs[0])
        return Output(y, Residual(rows={"y": y}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        y, dy = residual.rows["y"], gradient.dense()
        inner = tf.reduce_sum(dy * y, -1, keepdims=True)
        return Gradients([Gradient.of(y * (dy - inner))])
