"""Normalizations of each row by itself: layers, groups of channels, unit vectors."""

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
from tflite_odl.builtin.masks import positive
from tflite_odl.builtin.sums import axis_sums, channel_sums

# What `tf.nn.l2_normalize` adds to nothing: the smallest square of a norm.
UNIT_EPSILON = 1e-12


class RowNorm(Lowering):
    """y = gamma n + beta with n = (x - m) / sqrt(v + epsilon), m and v of each row.

    x is folded to `folded`, without batch, and m, v are taken over `axes` of it, batch
    counted; gamma and beta run over the last `parameters` axes. With g = dy gamma and
    means over the same axes:
        dx = (g - mean g - n mean(g n)) / sqrt(v + epsilon)
        dgamma = sum dy n, dbeta = sum dy
    """

    name = "centred"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, a = _fold(site, inputs[0]), site.node.attributes
        centred = x - _mean(site, x)
        variance = _mean(site, tf.square(centred))
        inverse = tf.math.rsqrt(variance + a["epsilon"])
        normal = centred * inverse
        y = normal
        if "gamma" in site.weights:
            y = y * _fitted(site, "gamma")
        if "beta" in site.weights:
            y = y + _fitted(site, "beta")
        residual = Residual({"normal": normal, "inverse": inverse})
        return Output(tf.reshape(y, inputs[0].shape), residual)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        normal, inverse = residual.rows["normal"], residual.rows["inverse"]
        dy = gradient.dense()
        shape, dy = dy.shape, _fold(site, dy)
        found = {}
        if site.node.trainable and "gamma" in site.weights:
            found["gamma"] = _weight_sums(site, "gamma", dy * normal)
        if site.node.trainable and "beta" in site.weights:
            found["beta"] = _weight_sums(site, "beta", dy)
        if not site.wanted[0]:
            return Gradients([None], found)
        g = dy * _fitted(site, "gamma") if "gamma" in site.weights else dy
        along = _mean(site, g * normal)
        dx = ((g - _mean(site, g)) - normal * along) * inverse
        return Gradients([Gradient.of(tf.reshape(dx, shape))], found)


class Unit(Lowering):
    """y = x / max(|x|, 1e-6) over some axes; dx = (dy - y sum(dy y)) / |x|, without the
    second part where |x| is smaller."""

    name = "unit"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        squared = axis_sums(tf.square(x), site.node.attributes["axes"])
        y = x * _inverse_norm(squared)
        return Output(y, Residual({"y": y, "squared": squared}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        y, squared, dy = residual.rows["y"], residual.rows["squared"], gradient.dense()
        inner = axis_sums(dy * y, site.node.attributes["axes"])
        long = 1.0 - positive(UNIT_EPSILON - squared)
        return Gradients(
            [Gradient.of((dy - y * (inner * long)) * _inverse_norm(squared))]
        )


def _inverse_norm(squared: tf.Tensor) -> tf.Tensor:
    # Of a MAXIMUM here the converter would make a L2_NORMALIZATION, which leaves the
    # partition.
    return tf.math.rsqrt(tf.nn.relu(squared - UNIT_EPSILON) + UNIT_EPSILON)


def _fold(site: Site, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [x.shape[0], *site.node.attributes["folded"]])


def _mean(site: Site, x: tf.Tensor) -> tf.Tensor:
    axes = site.node.attributes["axes"]
    return axis_sums(x, axes) * (1.0 / math.prod(x.shape[axis] for axis in axes))


def _fitted(site: Site, role: str) -> tf.Tensor:
    """Returns a weight in the shape of the last folded axes."""
    a = site.node.attributes
    return tf.reshape(site.weights[role], a["folded"][-a["parameters"] :])


def _weight_sums(site: Site, role: str, x: tf.Tensor) -> tf.Tensor:
    shape = site.weights[role].shape
    lead = x.shape[: -site.node.attributes["parameters"]]
    return tf.reshape(channel_sums(tf.reshape(x, [*lead, math.prod(shape)])), shape)


FAMILIES = {
    "row_norm": (RowNorm(),),
    "unit_norm": (Unit(),),
}
