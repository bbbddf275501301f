"""Cross-entropies of logits: one class of several, or each class on its own."""

from __future__ import annotations

import dataclasses

import numpy as np

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
from tflite_odl.contract import UNLABELLED, TensorSpec
from tflite_odl.errors import ModelError


@dataclasses.dataclass(frozen=True)
class SparseCrossEntropy(Loss):
    """Cross-entropy of p = softmax(z) with t = (1 - s) onehot(y) + s / C.

    l = -v_y sum_c t_c ln p_c;  dl/dz = v_y (p - t), v being the class weights.
    Labels are [B] int32 from 0 to C - 1, -1 = unlabelled.
    """

    ending = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 2:
            raise ModelError(
                "sparse_cross_entropy needs 2 outputs or more, the model has one: use "
                "binary_cross_entropy or mean_squared_error"
            )

    def target(self, batch_size: int) -> TensorSpec:
        about = "label, -1 = unlabelled"
        return TensorSpec(
            "y", "int32", (batch_size,), "label", about=about, fill=UNLABELLED
        )

    def read(self, y: tf.Tensor) -> Labels:
        valid = tf.logical_and(y >= UNLABELLED, y < self.outputs)
        labelled = tf.logical_and(valid, y >= 0)
        return Labels(tf.maximum(y, 0), valid, labelled)

    def value(self, z, y, share):
        target = tf.one_hot(y, self.outputs)
        share = column(share)
        if self.class_weights:
            weights = np.asarray(self.class_weights, np.float32)
            share = share * tf.reduce_sum(target * weights, 1, keepdims=True)
        target = smoothed(target, self.label_smoothing, 1.0 / self.outputs)
        # Not LOG_SOFTMAX, which would leave the XNNPACK partition; t sums to 1.
        below = z - tf.reduce_max(z, 1, keepdims=True)
        log_sum = tf.math.log(tf.reduce_sum(tf.exp(below), 1, keepdims=True))
        picked = tf.reduce_sum(target * below, 1, keepdims=True)
        loss = total((log_sum - picked) * share)
        return loss, (tf.nn.softmax(z) - target) * share

    def predict(self, z):
        return tf.nn.softmax(z)

    def metrics(self, z, y, labelled):
        """`correct`: rows whose largest logit is the label's, of `count` labelled."""
        best = tf.argmax(z, -1, output_type=tf.int32)
        hit = tf.cast(tf.equal(best, y), tf.float32)
        return {"correct": count(hit * labelled), "count": count(labelled)}


@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Mean over classes of the cross-entropies of p = sigmoid(z) with
    t = (1 - s) y + s / 2: several classes of a row may be true, or none.

    l = mean_c v_c (max(z_c, 0) - z_c t_c + ln(1 + exp(-|z_c|)));
    dl/dz_c = v_c (p_c - t_c) / C, v being the class weights.
    Labels are [B, C] float32 from 0 to 1; a row of NaN is unlabelled.
    """

    ending = "sigmoid"

    def target(self, batch_size: int) -> TensorSpec:
        return float_target(batch_size, self.outputs, "1 = the class is there, 0 = not")

    def read(self, y: tf.Tensor) -> Labels:
        return read_floats(y, tf.logical_and(y >= 0.0, y <= 1.0))

    def value(self, z, y, share):
        target = smoothed(y, self.label_smoothing, 0.5)
        share = column(share) / self.outputs
        if self.class_weights:
            share = share * np.asarray(self.class_weights, np.float32)
        rest = tf.math.log(1.0 + tf.exp(-tf.abs(z)))
        loss = total((tf.maximum(z, 0.0) - z * target + rest) * share)
        return loss, (tf.sigmoid(z) - target) * share

    def predict(self, z):
        return tf.sigmoid(z)

    def metrics(self, z, y, labelled):
        """`correct` of `count` decisions, C in each labelled row, at p = y = 1/2."""
        hit = tf.cast(tf.equal(z > 0.0, y > 0.5), tf.float32) * column(labelled)
        return {"correct": count(hit), "count": count(labelled, self.outputs)}


def smoothed(target: tf.Tensor, smoothing: float, level: float) -> tf.Tensor:
    """Returns (1 - s) target + s level."""
    if not smoothing:
        return target
    return target * (1.0 - smoothing) + smoothing * level
