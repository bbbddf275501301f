"""Regression."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.losses.base import (
    Labels,
    Loss,
    column,
    count,
    float_target,
    read_floats,
    total,
)
from tflite_odl.builtin.rows import LARGEST
from tflite_odl.contract import TensorSpec


@dataclasses.dataclass(frozen=True)
class MeanSquaredError(Loss):
    """l = mean_d (z_d - y_d)^2;  dl/dz_d = 2 (z_d - y_d) / D, D being the outputs.

    Labels are [B, D] float32, finite; a row of NaN is unlabelled. The model's output is
    the prediction, whatever it ends in.
    """

    output = "predictions"
    options = ()

    def target(self, batch_size: int) -> TensorSpec:
        return float_target(batch_size, self.outputs, "wanted output")

    def read(self, y: tf.Tensor) -> Labels:
        return read_floats(y, tf.abs(y) <= LARGEST)

    def value(self, z, y, share):
        error, share = z - y, column(share) / self.outputs
        loss = total(error * error * share)
        return loss, error * (2.0 * share)

    def predict(self, z):
        return z

    def metrics(self, z, y, labelled):
        """`absolute_error`: mean over the labelled rows; `count`: of them."""
        rows = tf.maximum(tf.reduce_sum(labelled, keepdims=True), 1.0)
        off = total(tf.abs(z - y) * column(labelled)) / (rows * self.outputs)
        return {"absolute_error": off, "count": count(labelled)}
