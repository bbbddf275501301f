"""Products and sums with what all rows share: constants and learnt scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.masks import positive
from tflite_odl.builtin.sums import sum_to


class Affine(Lowering):
    """y = x scale + offset with constants; dx = dy scale.

    Each is None, a number, or an array that broadcasts to x without its batch.
    """

    name = "affine"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y, a = inputs[0], site.node.attributes
        if a.get("scale") is not None:
            y = y * np.asarray(a["scale"], np.float32)
        if a.get("offset") is not None:
            y = y + np.asarray(a["offset"], np.float32)
        return Output(y)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        scale = site.node.attributes.get("scale")
        if scale is None:
            return Gradients([gradient])
        return Gradients([gradient.times(np.asarray(scale, np.float32))])


class Scale(Lowering):
    """y = x gamma over the last axis; dgamma = sum of x dy."""

    name = "scale"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(inputs[0] * site.weights["gamma"], Residual({"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy, gamma = gradient.dense(), tf.convert_to_tensor(site.weights["gamma"])
        found = {}
        if site.node.trainable:
            found["gamma"] = weight_sums(residual.rows["x"] * dy, gamma.shape)
        return Gradients([Gradient.of(dy * gamma) if site.wanted[0] else None], found)


class Prelu(Lowering):
    """y = relu(x) - alpha relu(-x), alpha [...] of x's rank without batch, 1 on axes
    that share it; dx = dy ([x > 0] + alpha [x < 0]), dalpha = -sum dy relu(-x)."""

    name = "prelu"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        y = tf.nn.relu(x) - site.weights["alpha"] * tf.nn.relu(-x)
        return Output(y, Residual({"x": x}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy, x = gradient.dense(), residual.rows["x"]
        alpha = tf.convert_to_tensor(site.weights["alpha"])
        found = {}
        if site.node.trainable:
            found["alpha"] = weight_sums(-(dy * tf.nn.relu(-x)), alpha.shape)
        if not site.wanted[0]:
            return Gradients([None], found)
        slope = positive(x) + alpha * positive(-x)
        return Gradients([Gradient.of(dy * slope)], found)


def weight_sums(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Returns the sums of x [B, ...] to the shape of a weight that was broadcast."""
    ones = [1] * (x.shape.rank - len(shape))
    return tf.reshape(sum_to(x, [*ones, *shape]), shape)


FAMILIES = {
    "affine": (Affine(),),
    "scale": (Scale(),),
    "prelu": (Prelu(),),
}
