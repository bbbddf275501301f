"""Products of two activations, or of the last axes of one and the first of a weight."""

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
from tflite_odl.builtin.products import filter_product, matmul, rows_times


class Matmul(Lowering):
    """y = a b, or a b^T if `transpose`, for each of the leading axes, which are equal.

    da = dy b^T and db = a^T dy; of a b^T, da = dy b and db = dy^T a.
    """

    name = "product"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, b = map(_stacked, inputs)
        y = matmul(a, b, transpose_b=site.node.attributes["transpose"])
        kept = Residual(rows=dict(zip("ab", inputs)))
        return Output(tf.reshape(y, [inputs[0].shape[0], *site.node.shape]), kept)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        rows, transpose = residual.rows, site.node.attributes["transpose"]
        a, b, dy = map(_stacked, (rows["a"], rows["b"], gradient.dense()))
        found: list[Gradient | None] = [None, None]
        if site.wanted[0]:
            da = matmul(dy, b, transpose_b=not transpose)
            found[0] = Gradient.of(tf.reshape(da, rows["a"].shape))
        if site.wanted[1]:
            first, second = (dy, a) if transpose else (a, dy)
            db = matmul(first, second, transpose_a=True)
            found[1] = Gradient.of(tf.reshape(db, rows["b"].shape))
        return Gradients(found)


def _stacked(x: tf.Tensor) -> tf.Tensor:
    """Returns the matrices in the last two axes along one leading axis."""
    return tf.reshape(x, [math.prod(x.shape[:-2]), *x.shape[-2:]])


class Contraction(Lowering):
    """y = x K + b over the last `contracted` axes of x, which are the first of K.

    The rest of K's axes are the last of y, and b's.
    """

    name = "product"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = rows_times(_rows(site, inputs[0]), _matrix(site))
        if "bias" in site.weights:
            y = y + tf.reshape(site.weights["bias"], [y.shape[-1]])
        batch = inputs[0].shape[0]
        kept = Residual(rows={"x": inputs[0]})
        return Output(tf.reshape(y, [batch, *site.node.shape]), kept)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        x, dy = residual.rows["x"], gradient.dense()
        rows, matrix = _rows(site, x), _matrix(site)
        dy = tf.reshape(dy, [*rows.shape[:-1], matrix.shape[-1]])
        found = {}
        if site.node.trainable:
            kernel = site.weights["kernel"]
            found["kernel"] = tf.reshape(filter_product(rows, dy), kernel.shape)
            if "bias" in site.weights:
                total = tf.reduce_sum(tf.reshape(dy, [-1, dy.shape[-1]]), 0)
                found["bias"] = tf.reshape(total, site.weights["bias"].shape)
        if not site.wanted[0]:
            return Gradients([None], found)
        dx = tf.reshape(rows_times(dy, matrix, True), x.shape)
        return Gradients([Gradient.of(dx)], found)


def _rows(site: Site, x: tf.Tensor) -> tf.Tensor:
    axes = site.node.attributes["contracted"]
    return tf.reshape(x, [*x.shape[:-axes], math.prod(x.shape[-axes:])])


def _matrix(site: Site) -> tf.Tensor:
    kernel, axes = site.weights["kernel"], site.node.attributes["contracted"]
    kernel = tf.convert_to_tensor(kernel)
    first, last = kernel.shape[:axes], kernel.shape[axes:]
    return tf.reshape(kernel, [math.prod(first), math.prod(last)])


FAMILIES = {
    "matmul": (Matmul(),),
    "contraction": (Contraction(),),
}
