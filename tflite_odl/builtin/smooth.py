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
from tflite_odl.builtin.masks import positive

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# erf(z) = z P(z^2) / Q(z^2) for |z| <= 4, beyond which it is 1: the approximation of
# TensorFlow's Eigen, within 2e-7. Neither Erf nor Erfc is a builtin, and the converter
# only sometimes recognizes a GELU.
ERF_P = (
    -1.60960333262415e-02,
    -2.95459980854025e-03,
    -7.34990630326855e-04,
    -5.69250639462346e-05,
    -2.10102402082508e-06,
    2.77068142495902e-08,
    -2.72614225801306e-10,
)
ERF_Q = (
    -1.42647390514189e-02,
    -7.37332916720468e-03,
    -1.68282697438203e-03,
    -2.13374055278905e-04,
    -1.45660718464996e-05,
)


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
        # phi is 0 in float32 beyond 14.
        x = _between(kept, 20.0)
        density = tf.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return normal_distribution(kept) + x * density


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
    """Returns (1 + erf(x / sqrt 2)) / 2."""
    z = _between(x * math.sqrt(0.5), 4.0)
    square = z * z
    erf = z * _polynomial(ERF_P, square) / _polynomial(ERF_Q, square)
    return 0.5 + 0.5 * erf


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
