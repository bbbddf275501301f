"""BatchNormalization over the last axis: batch statistics or moving ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Pass,
    Residual,
    Site,
    Tensors,
)
from tflite_odl.builtin.sums import channel_sums, row_sums, vector
from tflite_odl.builtin.zeros import zero_of


class Centred(Lowering):
    """y = a (x - m) + beta with a = gamma / sqrt(v + epsilon).

    Batch statistics: m, v over the rows that count; the moving ones follow by momentum
    as in Keras, whose fused kernel (4-D inputs) takes the unbiased variance for them.
    Backward, with c = x - m and means over the rows that count:
        dbeta = sum dy, dgamma = sum dy c / sigma
        dx = a (dy - mean dy - c mean(dy c) / sigma^2), zero for rows that do not count
    and the factor a stays behind in the gradient's scale.
    Moving statistics: m, v are constants of the step, so dx = a dy.
    """

    name = "centred"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        if not _uses_batch(site):
            return self._with_moving(site, x)
        if given := site.run.statistics.get(site.node.name):
            return self._with_given(site, x, given)
        mean = _mean(x, site.run)
        centred = x - mean
        variance = _mean(tf.square(centred), site.run)
        inverse = tf.math.rsqrt(variance + site.node.attributes["epsilon"])
        factor = _factor(inverse, site.weights)
        shared = {"mean": mean, "inverse": inverse, "factor": factor}
        residual = Residual({"centred": centred}, shared)
        moved = _moved(site, x, mean, variance)
        return Output(_shift(centred * factor, site.weights), residual, moved)

    def _with_given(self, site: Site, x: tf.Tensor, given: Tensors) -> Output:
        y = _shift((x - given["mean"]) * given["factor"], site.weights)
        return Output(y, Residual({"x": x}, given))

    def _with_moving(self, site: Site, x: tf.Tensor) -> Output:
        node, weights = site.node, site.weights
        epsilon = node.attributes["epsilon"]
        inverse = tf.math.rsqrt(weights["moving_variance"] + epsilon)
        factor = _factor(inverse, weights)
        mean = weights["moving_mean"]
        if not node.trainable:
            offset = weights.get("beta", 0.0) - mean * factor
            return Output(x * factor + offset, Residual(shared={"factor": factor}))
        centred = x - mean
        residual = Residual(
            {"centred": centred}, {"inverse": inverse, "factor": factor}
        )
        return Output(_shift(centred * factor, weights), residual)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        factor = vector(residual.shared["factor"])
        if not site.node.trainable:
            scale = factor if gradient.scale is None else factor * gradient.scale
            return Gradients([Gradient(gradient.value, gradient.shape, scale)])
        dy = gradient.dense()
        centred, inverse = _centred(residual, dy), residual.shared["inverse"]
        # Rows that do not count have dy = 0, so plain sums are sums over those that do.
        sum_dy, sum_dyc = channel_sums(dy), channel_sums(dy * centred)
        found = {}
        if "gamma" in site.weights:
            found["gamma"] = vector(sum_dyc * inverse)
        if "beta" in site.weights:
            found["beta"] = vector(sum_dy)
        if not site.wanted[0]:
            return Gradients([None], found)
        if _uses_batch(site):
            weight = _weight(dy, site.run)
            slope = (inverse * inverse * sum_dyc) * weight
            dy = (dy - centred * slope) - sum_dy * weight
        return Gradients([Gradient(dy, tuple(dy.shape), factor)], found)


def _centred(residual: Residual, dy: tf.Tensor) -> tf.Tensor:
    """Returns x - m; if need be it is made again, and not before dy is there."""
    if "centred" in residual.rows:
        return residual.rows["centred"]
    return residual.rows["x"] - (residual.shared["mean"] + zero_of(dy))


def _uses_batch(site: Site) -> bool:
    return site.run.training and site.node.attributes["statistics"] == "batch"


def _factor(inverse: tf.Tensor, weights: Tensors) -> tf.Tensor:
    return inverse * weights["gamma"] if "gamma" in weights else inverse


def _shift(y: tf.Tensor, weights: Tensors) -> tf.Tensor:
    return y + weights["beta"] if "beta" in weights else y


def _mean(x: tf.Tensor, run: Pass) -> tf.Tensor:
    """Returns the mean over all axes but the last, of rows that count, [1, ..., C]."""
    return tf.reduce_sum(row_sums(x) * _weight(x, run), [0], keepdims=True)


def _weight(x: tf.Tensor, run: Pass) -> tf.Tensor:
    """Returns [B, 1, ...]: a row's share in a mean over all axes but the last."""
    return run.rows.shaped(x.shape.rank) / _count(x, run)


def _count(x: tf.Tensor, run: Pass) -> tf.Tensor:
    """Returns [1]: how many values one channel's statistics are taken over."""
    return run.rows.count * float(math.prod(x.shape[1:-1]))


def _moved(site: Site, x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> Tensors:
    """Returns the new moving statistics by role."""
    node, weights = site.node, site.weights
    if not node.trainable:
        return {}
    momentum = node.attributes["momentum"]
    if node.attributes["fused"]:
        count = _count(x, site.run)
        variance = variance * (count / tf.maximum(count - 1.0, 1.0))
    news = {"moving_mean": mean, "moving_variance": variance}
    return {
        role: weights[role] * momentum + vector(new) * (1.0 - momentum)
        for role, new in news.items()
    }


LOWERINGS = (Centred(),)
