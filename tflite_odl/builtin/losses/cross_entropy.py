"""Cross-entropies of logits: one class of several, or each class on its own."""

from __future__ import annotations

import dataclasses

import numpy as np

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.losses.base import (
    FloatLoss,
    Labels,
    Loss,
    all_rows,
    column,
    count,
    total,
)
from tflite_odl.contract import UNLABELLED, TensorSpec
from tflite_odl.errors import ModelError

# How far probabilities that were rounded on their way here may add up beside 1.
SLACK = 0.01


@dataclasses.dataclass(frozen=True)
class SparseCrossEntropy(Loss):
    """Cross-entropy of p = softmax(z) with t = (1 - s) onehot(y) + s / C.

    l = -v_y sum_c t_c ln p_c;  dl/dz = v_y (p - t), v being the class weights.
    Labels are [B, *P] int32 from 0 to C - 1, -1 = unlabelled.
    """

    ending = "softmax"
    options = ("label_smoothing", "class_weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes("sparse_cross_entropy", self.outputs)

    def target(self, batch_size: int) -> TensorSpec:
        about = "label, -1 = unlabelled"
        shape = (batch_size, *self.shape[:-1])
        return TensorSpec("y", "int32", shape, "label", about=about, fill=UNLABELLED)

    def read(self, y: tf.Tensor) -> Labels:
        valid = tf.logical_and(y >= UNLABELLED, y < self.outputs)
        labelled = tf.logical_and(valid, y >= 0)
        return Labels(tf.maximum(y, 0), all_rows(valid), labelled)

    def value(self, z, y, share):
        target = tf.one_hot(y, self.outputs)
        share = column(share)
        if self.class_weights:
            weights = np.asarray(self.class_weights, np.float32)
            share = share * tf.reduce_sum(target * weights, -1, keepdims=True)
        target = smoothed(target, self.label_smoothing, 1.0 / self.outputs)
        below, log_sum = _log_sum(z)
        # t sums to 1.
        picked = tf.reduce_sum(target * below, -1, keepdims=True)
        loss = total((log_sum - picked) * share)
        return loss, (tf.nn.softmax(z) - target) * share

    def predict(self, z):
        return tf.nn.softmax(z)

    def metrics(self, z, y, labelled):
        """`correct`: places whose largest logit is the label's, of `count` labelled."""
        best = tf.argmax(z, -1, output_type=tf.int32)
        hit = tf.cast(tf.equal(best, y), tf.float32)
        return {"correct": count(hit * labelled), "count": count(labelled)}


@dataclasses.dataclass(frozen=True)
class CategoricalCrossEntropy(FloatLoss):
    """Cross-entropy of p = softmax(z) with t = (1 - s) y + s / C, y a distribution, or
    the one-hot vector of a class.

    l = -sum_c t_c ln p_c;  dl/dz = p - t.
    Labels are [B, *P, C] float32 from 0 to 1; those of a place add up to 1, else its
    row is bad: the gradient holds for a distribution only.
    """

    ending = "softmax"
    options = ("label_smoothing",)
    about = "probability of each class, one-hot or soft, 1 in all"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes("categorical_cross_entropy", self.outputs)

    def inside(self, y):
        off = tf.abs(tf.reduce_sum(y, -1, keepdims=True) - 1.0)
        within = tf.logical_and(y >= 0.0, y <= 1.0)
        return tf.logical_and(within, off <= SLACK)

    def value(self, z, y, share):
        target = smoothed(y, self.label_smoothing, 1.0 / self.outputs)
        share = column(share)
        below, log_sum = _log_sum(z)
        whole = tf.reduce_sum(target, -1, keepdims=True)
        picked = tf.reduce_sum(target * below, -1, keepdims=True)
        loss = total((log_sum * whole - picked) * share)
        return loss, (tf.nn.softmax(z) - target) * share

    def predict(self, z):
        return tf.nn.softmax(z)

    def metrics(self, z, y, labelled):
        """`correct`: places whose largest logit is the largest label's, of `count`."""
        best = [tf.argmax(x, -1, output_type=tf.int32) for x in (z, y)]
        hit = tf.cast(tf.equal(*best), tf.float32)
        return {"correct": count(hit * labelled), "count": count(labelled)}


@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy(FloatLoss):
    """Mean over classes of the cross-entropies of p = sigmoid(z) with
    t = (1 - s) y + s / 2: several classes of a place may be true, or none.

    l = mean_c v_c (max(z_c, 0) - z_c t_c + ln(1 + exp(-|z_c|)));
    dl/dz_c = v_c (p_c - t_c) / C, v being the class weights.
    Labels are [B, *P, C] float32 from 0 to 1, or [B] for a single unit.
    """

    ending = "sigmoid"
    options = ("label_smoothing", "class_weights")
    about = "1 = the class is there, 0 = not"

    def inside(self, y):
        return tf.logical_and(y >= 0.0, y <= 1.0)

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
        """`correct` of `count` decisions, C in each labelled place, at p = y = 1/2."""
        hit = tf.cast(tf.equal(z > 0.0, y > 0.5), tf.float32) * column(labelled)
        return {"correct": count(hit), "count": count(labelled, self.outputs)}


def _check_classes(name: str, outputs: int) -> None:
    if outputs < 2:
        raise ModelError(
            f"{name} needs 2 outputs or more, the model has one: use "
            "binary_cross_entropy or mean_squared_error"
        )


def _log_sum(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (z below its largest value, the logarithm of the sum of exponentials).

    Not LOG_SOFTMAX, which would leave the XNNPACK partition.
    """
    below = z - tf.reduce_max(z, -1, keepdims=True)
    return below, tf.math.log(tf.reduce_sum(tf.exp(below), -1, keepdims=True))


def smoothed(target: tf.Tensor, smoothing: float, level: float) -> tf.Tensor:
    """Returns (1 - s) target + s level."""
    if not smoothing:
        return target
    return target * (1.0 - smoothing) + smoothing * level
