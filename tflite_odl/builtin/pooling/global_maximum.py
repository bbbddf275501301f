"""Global max pooling."""

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
from tflite_odl.builtin.pooling.windows import below
from tflite_odl.builtin.sums import row_sums


class GlobalMaxPool(Lowering):
    """y = max over H and W; pixels that share the maximum share dy evenly, since that
    is the gradient of reduce_max, by which Keras computes it."""

    name = "max"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        y = tf.nn.max_pool2d(x, [*x.shape[1:3]], 1, "VALID")
        rows = {"x": x, "y": y}
        return Output(tf.reshape(y, [x.shape[0], *site.node.shape]), Residual(rows))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        x, y = residual.rows["x"], residual.rows["y"]
        dy = tf.reshape(gradient.dense(), y.shape)
        largest = 1.0 - below(x, y)
        return Gradients([Gradient.of(largest * (dy / row_sums(largest)))])
