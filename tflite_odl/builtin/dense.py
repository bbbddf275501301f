"""Dense: y = x K + b over the last axis."""

from __future__ import annotations

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
from tflite_odl.builtin.products import filter_product, rows_times


class Product(Lowering):
    """One BATCH_MATMUL each: y = x K, dK = x^T dy, dx = dy K^T.

    A BATCH_MATMUL keeps a following relu: the converter silently drops one after a
    FULLY_CONNECTED without bias whose weight is a variable.
    """

    name = "product"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        y = rows_times(inputs[0], tf.convert_to_tensor(site.weights["kernel"]))
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy = gradient.dense()
        found = {}
        if site.node.trainable:
            found["kernel"] = filter_product(residual.rows["x"], dy)
            if "bias" in site.weights:
                flat = tf.reshape(dy, [-1, dy.shape[-1]])
                found["bias"] = tf.reduce_sum(flat, 0)
        if not site.wanted[0]:
            return Gradients([None], found)
        kernel = tf.convert_to_tensor(site.weights["kernel"])
        return Gradients([Gradient.of(rows_times(dy, kernel, True))], found)


LOWERINGS = (Product(),)
