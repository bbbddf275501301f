"""Elementwise activations, relu and its kin; and softmax."""

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
from tflite_odl.builtin.masks import HUGE, positive
from tflite_odl.builtin.zeros import zero_of


class Elementwise(Lowering):
    """y = f(x) and dx = f'(x) dy, by `apply` and `slope`.

    Attributes:
      keeps: what `slope` is given, "x" or "y".
    """

    name = "elementwise"
    keeps = "x"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = self.apply(site.node, inputs[0])
        kept = {"x": inputs[0], "y": y}[self.keeps]
        return Output(y, Residual(rows={self.keeps: kept}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        slope = self.slope(site.node, residual.rows[self.keeps])
        return Gradients([gradient.times(slope)])

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(type(self).__name__)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(type(self).__name__)


class Relu(Elementwise):
    """relu and relu6. The gradient's mask is 1 for y > 0, by a clipped product: one MUL
    with a fused RELU_N1_TO_1; GREATER and CAST would leave the XNNPACK partition."""

    name = "clipped_mask"
    keeps = "y"

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu6(x) if node.attributes["limit"] == 6 else tf.nn.relu(x)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        y, zero = residual.rows["y"], zero_of(gradient.value)
        if site.node.attributes["limit"] == 6:
            y = ((6.0 + zero) - y) * y
        mask = tf.clip_by_value(y * (HUGE + zero), -1.0, 1.0)
        return Gradients([gradient.times(mask)])


class LeakyRelu(Elementwise):
    """y = x for x > 0, else alpha x."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.leaky_relu(x, node.attributes["alpha"])

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        alpha = node.attributes["alpha"]
        return positive(kept) * (1.0 - alpha) + alpha


class ThresholdedRelu(Elementwise):
    """Keras' ReLU with all its options: y = min(x [x > t], limit) - alpha relu(t - x).

    The slope is 1 for t < x <= limit, alpha for x < t, else 0.
    """

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        a = node.attributes
        y = x * positive(x - a["threshold"]) if a["threshold"] else tf.nn.relu(x)
        if a["limit"] is not None:
            y = tf.minimum(tf.nn.relu(y), a["limit"])
        return y - a["alpha"] * tf.nn.relu(a["threshold"] - x) if a["alpha"] else y

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        a = node.attributes
        slope = positive(kept - a["threshold"])
        if a["limit"] is not None:
            slope = slope * (1.0 - positive(kept - a["limit"]))
        if a["alpha"]:
            slope = slope + a["alpha"] * positive(a["threshold"] - kept)
        return slope


class HardSigmoid(Elementwise):
    """y = 0.2 x + 0.5, between 0 and 1, both included."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.minimum(tf.nn.relu(x * 0.2 + 0.5), 1.0)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        y = kept * 0.2 + 0.5
        return 0.2 * (1.0 - positive(-y)) * (1.0 - positive(y - 1.0))


class Relu6Sigmoid(Elementwise):
    """y = relu6(x + 3) / 6; the slope is 1 / 6 for -3 < x < 3, else 0."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu6(x + 3.0) * (1 / 6)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        u = kept + 3.0
        return (1 / 6) * positive(u) * positive(6.0 - u)


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


FAMILIES = {
    "relu": (Relu(),),
    "leaky_relu": (LeakyRelu(),),
    "thresholded_relu": (ThresholdedRelu(),),
    "hard_sigmoid": (HardSigmoid(),),
    "relu6_sigmoid": (Relu6Sigmoid(),),
    "softmax": (Softmax(),),
}
