"""The losses in Keras, and the metrics in NumPy: nothing shared with the graph's."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.contract import UNLABELLED

Metrics = dict[str, tuple[np.ndarray, float]]


class SparseCrossEntropy:
    """Args: config, the method's; outputs: of the model."""

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

    def metrics(self, z: np.ndarray, y: np.ndarray, tolerance: float) -> Metrics:
        """Returns {output: (value, how far off it may be)} of labelled rows.

        A choice may differ where the two best logits are closer than the tolerance.
        """
        best, runner_up = np.sort(z)[:, ::-1][:, :2].T
        unsure = float((best - runner_up < tolerance).sum())
        hits = (z.argmax(1) == y).sum()
        return {"correct": (np.array([hits]), unsure), "count": _exactly(len(y))}


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

    def metrics(self, z: np.ndarray, y: np.ndarray, tolerance: float) -> Metrics:
        unsure = float((np.abs(z) < tolerance).sum())
        hits = ((z > 0) == (y > 0.5)).sum()
        return {"correct": (np.array([hits]), unsure), "count": _exactly(y.size)}


class MeanSquaredError(SparseCrossEntropy):
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

    def metrics(self, z: np.ndarray, y: np.ndarray, tolerance: float) -> Metrics:
        off = np.array([np.abs(z - y).mean() if len(y) else 0.0])
        return {"absolute_error": (off, tolerance), "count": _exactly(len(y))}


def _exactly(count: int) -> tuple[np.ndarray, float]:
    return np.array([count]), 0.0


KERAS_LOSSES = {
    "sparse_cross_entropy": SparseCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
}
