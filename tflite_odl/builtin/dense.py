"""Dense: y = x K + b over the last axis."""

from __future__ import annotations

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
from tflite_odl.builtin.products import filter_product, rows_times


class Product(Lowering):
    """One BATCH_MATMUL each: y = x K, dK = x^T dy, dx = dy K^T.

    A BATCH_MATMUL keeps a following relu: the converter silently drops one after a
    FULLY_CONNECTED without bias whose weight is a variable.
    """

    name = "product"

    def forward(
        self, node: Node, inputs: Sequence[tf.Tensor], weights: Tensors, run: Pass
    ) -> Output:
        y = rows_times(inputs[0], tf.convert_to_tensor(weights["kernel"]))
        if "bias" in weights:
            y = y + weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(
        self,
        node: Node,
        weights: Tensors,
        residual: Residual,
        gradient: Gradient,
        run: Pass,
    ) -> Gradients:
        dy = gradient.dense()
        found = {}
        if node.trainable:
            found["kernel"] = filter_product(residual.rows["x"], dy)
            if "bias" in weights:
                flat = tf.reshape(dy, [-1, dy.shape[-1]])
                found["bias"] = tf.reduce_sum(flat, 0)
        if not run.wanted(node)[0]:
            return Gradients([None], found)
        kernel = tf.convert_to_tensor(weights["kernel"])
        return Gradients([Gradient.of(rows_times(dy, kernel, True))], found)


LOWERINGS = (Product(),)
