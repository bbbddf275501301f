"""Smooth activations: sigmoid, tanh, and what is made of them and of EXP.

They hold up to |x| = 1e18, beyond which the gradient's norm overflows and the step is
rejected; XNNPACK's LOGISTIC itself is NaN from 1e27.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.activations import Elementwise
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.positive import positive

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# Phi(-a) = exp(-a^2 / 2) P(a) / Q(a) for 0 <= a <= 13, within 5e-9 of itself, fitted
# to the complementary error function; beyond 13 it is 0 in float32. Neither Erf nor
# Erfc is a builtin, and the converter only sometimes recognizes a GELU. 1 + erf would
# leave nothing but rounding of Phi(-5), of which an Adam makes whole updates.
TAIL_P = (0.5, 0.43498047, 0.18078688, 0.03980967, 0.00399446)
TAIL_Q = (1.0, 1.66784584, 1.19231825, 0.4630083, 0.09979569, 0.01001248)
TAIL_END = 13.0


class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)); the slope is y (1 - y)."""

    keeps = "y"

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return kept * (1.0 - kept)


class Tanh(Elementwise):
    """y = tanh x; the slope is 1 - y^2."""

    keeps = "y"

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.tanh(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return 1.0 - kept * kept


class Silu(Lowering):
    """y = x s with s = sigmoid(x); dx = dy (s + y (1 - s)), which needs no x but
    y, that the next layer mostly keeps too."""

    name = "elementwise"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        s = tf.sigmoid(inputs[0])
        y = inputs[0] * s
        return Output(y, Residual(rows={"y": y, "s": s}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        y, s = residual.rows["y"], residual.rows["s"]
        return Gradients([gradient.times(s + y * (1.0 - s))])


class Elu(Elementwise):
    """y = scale x for x > 0, else scale alpha (exp(x) - 1); elu and selu.

    At zero the slope is Keras': that of the left for an elu, of the right for a selu.
    """

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        scale, alpha = node.attributes["scale"], node.attributes["alpha"]
        if scale == alpha == 1.0:
            return tf.nn.elu(x)
        left = tf.nn.elu(tf.minimum(x, 0.0))
        return scale * tf.nn.relu(x) + (scale * alpha) * left

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        scale, alpha = node.attributes["scale"], node.attributes["alpha"]
        left = tf.exp(tf.minimum(kept, 0.0))
        if alpha == 1.0:
            return scale * left
        right = positive(kept)
        if node.attributes["right_at_zero"]:
            right = 1.0 - positive(-kept)
        return scale * right + (scale * alpha) * left * (1.0 - right)


class Gelu(Elementwise):
    """y = x Phi(x), Phi the normal distribution; the slope is Phi + x phi(x)."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return x * normal_distribution(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        distribution, bell = _normal(kept)
        return distribution + kept * bell * (1 / math.sqrt(2 * math.pi))


class TanhGelu(Elementwise):
    """y = x (1 + t) / 2 with t = tanh u, u = c (x + 0.044715 x^3), c = sqrt(2 / pi).

    The slope is (1 + t) / 2 + x u' (1 - t^2) / 2. Beyond 10, t is 1 in float32.
    """

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return x * (0.5 + 0.5 * _gelu_tanh(_between(x, 10.0)))

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        x = _between(kept, 10.0)
        t = _gelu_tanh(x)
        c = math.sqrt(2 / math.pi)
        inner = x * (c + (3 * 0.044715 * c) * (x * x))
        return 0.5 + 0.5 * (t + inner * (1.0 - t * t))


class Softplus(Elementwise):
    """y = log(1 + exp x) = relu(x) + log(1 + exp(-|x|)); the slope is sigmoid(x)."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return softplus(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(kept)


class Mish(Elementwise):
    """y = x t with t = tanh(softplus x); the slope is t + x (1 - t^2) sigmoid(x)."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return x * tf.tanh(softplus(x))

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        t = tf.tanh(softplus(kept))
        return t + (1.0 - t * t) * tf.sigmoid(kept) * kept


class Softsign(Elementwise):
    """y = x / (1 + |x|); the slope is 1 / (1 + |x|)^2."""

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return x / (1.0 + tf.abs(x))

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return tf.square(1.0 / (1.0 + tf.abs(kept)))


class Exponential(Elementwise):
    """y = exp x, its own slope."""

    keeps = "y"

    def apply(self, node: Node, x: tf.Tensor) -> tf.Tensor:
        return tf.exp(x)

    def slope(self, node: Node, kept: tf.Tensor) -> tf.Tensor:
        return kept


def softplus(x: tf.Tensor) -> tf.Tensor:
    """Returns log(1 + exp x), also where exp x overflows."""
    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def normal_distribution(x: tf.Tensor) -> tf.Tensor:
    """Returns (1 + erf(x / sqrt 2)) / 2, right in relation to itself also where it is
    nearly 0."""
    return _normal(x)[0]


def _normal(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (the normal distribution at x, exp(-x^2 / 2))."""
    a = tf.minimum(tf.abs(x), TAIL_END)
    bell = tf.exp(a * a * -0.5)
    tail = bell * _polynomial(TAIL_P, a) / _polynomial(TAIL_Q, a)
    right = positive(x)
    return right + tail * (1.0 - 2.0 * right), bell


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    c = math.sqrt(2 / math.pi)
    return tf.tanh(x * (c + (0.044715 * c) * (x * x)))


def _between(x: tf.Tensor, limit: float) -> tf.Tensor:
    return tf.maximum(tf.minimum(x, limit), -limit)


def _polynomial(coefficients: Sequence[float], x: tf.Tensor) -> tf.Tensor:
    y = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        y = y * x + coefficient
    return y


FAMILIES = {
    "sigmoid": (Sigmoid(),),
    "tanh": (Tanh(),),
    "silu": (Silu(),),
    "elu": (Elu(),),
    "gelu": (Gelu(),),
    "tanh_gelu": (TanhGelu(),),
    "softplus": (Softplus(),),
    "mish": (Mish(),),
    "softsign": (Softsign(),),
    "exponential": (Exponential(),),
}
