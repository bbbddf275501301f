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
from tflite_odl.builtin.space import summed
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

    def forward_chunks(
        self, sites: Sequence[Site], inputs: Sequence[Sequence[tf.Tensor]]
    ) -> list[Output]:
        site, xs = sites[0], [x for (x,) in inputs]
        if not _uses_batch(site):
            return [self._with_moving(site, x) for x in xs]
        if given := site.run.statistics.get(site.node.name):
            return [self._with_given(site, x, given) for x in xs]
        mean = summed(map(_mean, xs, sites))
        centred = [x - mean for x in xs]
        variance = summed(map(_mean, map(tf.square, centred), sites))
        inverse = tf.math.rsqrt(variance + site.node.attributes["epsilon"])
        factor = _factor(inverse, site.weights)
        shared = {"mean": mean, "inverse": inverse, "factor": factor}
        moved = _moved(site, xs[0], mean, variance)
        ys = [_shift(c * factor, site.weights) for c in centred]
        residuals = [Residual({"centred": c}, shared) for c in centred]
        return [Output(y, kept, moved) for y, kept in zip(ys, residuals)]

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

    def backward_chunks(
        self,
        sites: Sequence[Site],
        residuals: Sequence[Residual],
        gradients: Sequence[Gradient],
    ) -> list[Gradients]:
        site, shared = sites[0], residuals[0].shared
        factor = vector(shared["factor"])
        if not site.node.trainable:
            return [_scaled(gradient, factor) for gradient in gradients]
        dys, inverse = [g.dense() for g in gradients], shared["inverse"]
        centred = list(map(_centred, residuals, dys))
        # Rows that do not count have dy = 0, so plain sums are sums over those that do.
        sum_dy = summed(map(channel_sums, dys))
        sum_dyc = summed(channel_sums(dy * c) for dy, c in zip(dys, centred))
        found = {}
        if "gamma" in site.weights:
            found["gamma"] = vector(sum_dyc * inverse)
        if "beta" in site.weights:
            found["beta"] = vector(sum_dy)
        inputs: list[Gradient | None] = [None] * len(dys)
        if site.wanted[0]:
            if _uses_batch(site):
                slope = inverse * inverse * sum_dyc
                for k, (dy, c) in enumerate(zip(dys, centred)):
                    weight = _weight(dy, sites[k])
                    dys[k] = (dy - c * (slope * weight)) - sum_dy * weight
            inputs = [Gradient(dy, tuple(dy.shape), factor) for dy in dys]
        # The weights' gradients are the whole batch's: one chunk hands them on.
        return [Gradients([one], {} if k else found) for k, one in enumerate(inputs)]


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


def _scaled(gradient: Gradient, factor: tf.Tensor) -> Gradients:
    scale = factor if gradient.scale is None else factor * gradient.scale
    return Gradients([Gradient(gradient.value, gradient.shape, scale)])


def _mean(x: tf.Tensor, site: Site) -> tf.Tensor:
    """Returns these rows' part of the batch's mean over all axes but the last, over
    rows that count, [1, ..., C]."""
    return tf.reduce_sum(row_sums(x) * _weight(x, site), [0], keepdims=True)


def _weight(x: tf.Tensor, site: Site) -> tf.Tensor:
    """Returns [B, 1, ...]: a row's share in a mean over all axes but the last."""
    return site.run.rows.shaped(x.shape.rank) / _count(x, site.run)


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
