"""BatchNormalization over the last axis: batch statistics or moving ones."""

from __future__ import annotations

import math
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

# MEAN over many terms at once loses precision in XNNPACK (16,384 terms: 1e-4 relative).
LONG_MEAN = 4096


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

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        x = inputs[0]
        if not _uses_batch(node, run):
            return self._with_moving(node, x, weights)
        mean = _mean(x, run)
        centred = x - mean
        variance = _mean(tf.square(centred), run)
        inverse = tf.math.rsqrt(variance + node.attributes["epsilon"])
        factor = _factor(inverse, weights)
        residual = Residual(
            {"centred": centred}, {"inverse": inverse, "factor": factor}
        )
        moved = _moved(node, x, mean, variance, weights, run)
        return Output(_shift(centred * factor, weights), residual, moved)

    def _with_moving(self, node: Node, x: tf.Tensor, weights: Tensors) -> Output:
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

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        factor = _vector(residual.shared["factor"])
        if not node.trainable:
            scale = factor if gradient.scale is None else factor * gradient.scale
            return Gradients([Gradient(gradient.value, gradient.shape, scale)])
        dy = gradient.dense()
        centred, inverse = residual.rows["centred"], residual.shared["inverse"]
        mean_dy, mean_dyc = _mean(dy, run), _mean(dy * centred, run)
        count = _count(dy, run)
        found = {}
        if "gamma" in weights:
            found["gamma"] = _vector(mean_dyc * inverse) * count
        if "beta" in weights:
            found["beta"] = _vector(mean_dy) * count
        if not run.wanted(node)[0]:
            return Gradients([None], found)
        if _uses_batch(node, run):
            mask = run.rows.shaped(dy.shape.rank)
            slope = -(inverse * inverse) * mean_dyc * mask
            dy = (dy + centred * slope) - mean_dy * mask
        return Gradients([Gradient(dy, tuple(dy.shape), factor)], found)


def _uses_batch(node: Node, run: Pass) -> bool:
    return run.training and node.attributes["statistics"] == "batch"


def _factor(inverse: tf.Tensor, weights: Tensors) -> tf.Tensor:
    return inverse * weights["gamma"] if "gamma" in weights else inverse


def _shift(y: tf.Tensor, weights: Tensors) -> tf.Tensor:
    return y + weights["beta"] if "beta" in weights else y


def _mean(x: tf.Tensor, run: Pass) -> tf.Tensor:
    """Returns the mean over all axes but the last, of rows that count, [1, ..., C]."""
    axes = list(range(1, x.shape.rank - 1))
    if math.prod(x.shape[1:-1]) > LONG_MEAN:
        for axis in reversed(axes):
            x = tf.reduce_mean(x, [axis], keepdims=True)
    elif axes:
        x = tf.reduce_mean(x, axes, keepdims=True)
    weight = run.rows.shaped(x.shape.rank) / run.rows.count
    return tf.reduce_sum(x * weight, [0], keepdims=True)


def _vector(x: tf.Tensor) -> tf.Tensor:
    """Returns [1, ..., C] as [C]; a RESHAPE to [-1] would leave the partition."""
    return tf.reshape(x, [x.shape[-1]])


def _count(x: tf.Tensor, run: Pass) -> tf.Tensor:
    """Returns [1]: how many values one channel's statistics are taken over."""
    return run.rows.count * float(math.prod(x.shape[1:-1]))


def _moved(node: Node, x, mean, variance, weights: Tensors, run: Pass) -> Tensors:
    if not node.trainable:
        return {}
    momentum = node.attributes["momentum"]
    if node.attributes["fused"]:
        count = _count(x, run)
        variance = variance * (count / tf.maximum(count - 1.0, 1.0))
    news = {"moving_mean": mean, "moving_variance": variance}
    return {
        role: weights[role] * momentum + _vector(new) * (1.0 - momentum)
        for role, new in news.items()
    }


LOWERINGS = (Centred(),)
