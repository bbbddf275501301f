"""The losses in Keras, and the metrics in NumPy: nothing shared with the graph's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.contract import UNLABELLED


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What evaluate returns beside the loss.

    Attributes:
      values: {output: value}.
      slack: {output: how far it may be off where classes nearly tie}.
    """

    values: dict[str, float]
    slack: dict[str, float] = dataclasses.field(default_factory=dict)


class SparseCrossEntropy:
    """Args: config, the method's; outputs: of the model."""

    # Name of what infer returns.
    output = "probabilities"
    # A label that is none, to test that its row is refused.
    bad_label = np.int32(2**31 - 1)

    def __init__(self, config: Any, outputs: int) -> None:
        self.config, self.outputs = config, outputs

    def valid(self, y: np.ndarray) -> np.ndarray:
        return (y >= UNLABELLED) & (y < self.outputs)

    def labelled(self, y: np.ndarray) -> np.ndarray:
        return y >= 0

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        """Returns the loss of labelled rows."""
        loss = tf_keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self.config.label_smoothing
        )
        if self.config.class_weights:
            weight = weight * np.float32(self.config.class_weights)[y]
        return loss(np.eye(self.outputs)[y], z, sample_weight=weight)

    def predict(self, z: tf.Tensor) -> np.ndarray:
        return tf.nn.softmax(z).numpy()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        """Returns the metrics of labelled rows.

        A choice may differ where the two best logits are closer than `nearly`.
        """
        best, runner_up = np.sort(z)[:, ::-1][:, :2].T
        unsure = float((best - runner_up < nearly).sum())
        hits = (z.argmax(1) == y).sum()
        return Metrics({"correct": hits, "count": len(y)}, {"correct": unsure})


class BinaryCrossEntropy(SparseCrossEntropy):
    bad_label = np.float32(-1)

    def valid(self, y: np.ndarray) -> np.ndarray:
        return self.labelled(y) | np.isnan(y).all(1)

    def labelled(self, y: np.ndarray) -> np.ndarray:
        return ((y >= 0) & (y <= 1)).all(1)

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        loss = tf_keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=self.config.label_smoothing
        )
        # Each entry as a row of its own: Keras weighs rows only.
        weights = weight[:, None] * np.ones(self.outputs)
        if self.config.class_weights:
            weights = weights * np.float32(self.config.class_weights)
        return loss(y[..., None], z[..., None], sample_weight=weights)

    def predict(self, z: tf.Tensor) -> np.ndarray:
        return tf.sigmoid(z).numpy()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        unsure = float((np.abs(z) < nearly).sum())
        hits = ((z > 0) == (y > 0.5)).sum()
        return Metrics({"correct": hits, "count": y.size}, {"correct": unsure})


class MeanSquaredError(SparseCrossEntropy):
    output = "predictions"
    bad_label = np.float32(np.inf)

    def valid(self, y: np.ndarray) -> np.ndarray:
        return self.labelled(y) | np.isnan(y).all(1)

    def labelled(self, y: np.ndarray) -> np.ndarray:
        return np.isfinite(y).all(1)

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        loss = tf_keras.losses.MeanSquaredError()
        return loss(y.astype(z.dtype.as_numpy_dtype), z, sample_weight=weight)

    def predict(self, z: tf.Tensor) -> np.ndarray:
        return z.numpy()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        off = np.abs(z - y).mean() if len(y) else 0.0
        return Metrics({"absolute_error": off, "count": len(y)})


KERAS_LOSSES = {
    "sparse_cross_entropy": SparseCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
}
