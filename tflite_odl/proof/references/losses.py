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
    """Args: config, the method's; shape, of the output without the batch, (*P, C)."""

    # Name of what infer returns.
    output = "probabilities"
    # A label that is none, to test that its row is refused.
    bad_label: np.generic = np.int32(2**31 - 1)

    def __init__(self, config: Any, shape: tuple[int, ...]) -> None:
        self.config, self.shape, self.outputs = config, shape, shape[-1]

    def valid(self, y: np.ndarray) -> np.ndarray:
        """Returns [B] bool: rows that are labels, or marked as having none."""
        return _by_rows((y >= UNLABELLED) & (y < self.outputs))

    def labelled(self, y: np.ndarray) -> np.ndarray:
        """Returns [B, *P] bool: places with a label."""
        return y >= 0

    def places(self, y: np.ndarray) -> np.ndarray:
        """Returns labels place by place, [N] or [N, C]."""
        return y.reshape(-1)

    def draw(
        self, shape: tuple[int, ...], wanted: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Returns labels to prove a method with.

        Args:
          shape: of the label in the signature.
          wanted: [B] int, classes of the rows' first places.
          rng: of the others.
        """
        y = rng.integers(0, self.outputs, shape).astype(np.int32)
        y.reshape(len(y), -1)[:, 0] = wanted
        return y

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        """Returns the loss of labelled places: z [N, C], y, weight [N]."""
        loss = tf_keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self.config.label_smoothing
        )
        if self.config.class_weights:
            weight = weight * np.float32(self.config.class_weights)[y]
        return loss(np.eye(self.outputs)[y], z, sample_weight=weight)

    def predict(self, z: tf.Tensor) -> np.ndarray:
        return tf.nn.softmax(z).numpy()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        """Returns the metrics of labelled places.

        A choice may differ where the two best logits are closer than `nearly`.
        """
        best, runner_up = np.sort(z)[:, ::-1][:, :2].T
        unsure = float((best - runner_up < nearly).sum())
        hits = (z.argmax(1) == y).sum()
        return Metrics({"correct": hits, "count": len(y)}, {"correct": unsure})


class _Floats(SparseCrossEntropy):
    """Labels as large as the output; [B] where that is [B, 1]."""

    def _whole(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(len(y), *self.shape)

    def valid(self, y: np.ndarray) -> np.ndarray:
        return _by_rows(self.labelled(y) | np.isnan(self._whole(y)).all(-1))

    def labelled(self, y: np.ndarray) -> np.ndarray:
        return self._inside(self._whole(y)).all(-1)

    def _inside(self, y: np.ndarray) -> np.ndarray:
        return (y >= 0) & (y <= 1)

    def places(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(-1, self.outputs)

    def draw(
        self, shape: tuple[int, ...], wanted: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """0 and 1, which are targets of a regression as well."""
        return rng.integers(0, 2, shape).astype(np.float32)


class CategoricalCrossEntropy(_Floats):
    bad_label = np.float32(-1)

    def labelled(self, y: np.ndarray) -> np.ndarray:
        whole = np.abs(y.astype(np.float64).sum(-1) - 1) <= 0.01
        return super().labelled(y) & whole

    def draw(
        self, shape: tuple[int, ...], wanted: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        classes = SparseCrossEntropy.draw(self, shape[:-1], wanted, rng)
        return np.eye(self.outputs, dtype=np.float32)[classes]

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        loss = tf_keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self.config.label_smoothing
        )
        return loss(y, z, sample_weight=weight)

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        return super().metrics(z, y.argmax(1), nearly)


class BinaryCrossEntropy(_Floats):
    bad_label = np.float32(-1)

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


class MeanSquaredError(_Floats):
    output = "predictions"
    bad_label = np.float32(np.inf)

    def _inside(self, y: np.ndarray) -> np.ndarray:
        return np.isfinite(y)

    def keras(self) -> tf_keras.losses.Loss:
        return tf_keras.losses.MeanSquaredError()

    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        return self.keras()(y.astype(z.dtype.as_numpy_dtype), z, sample_weight=weight)

    def predict(self, z: tf.Tensor) -> np.ndarray:
        return z.numpy()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        off = np.abs(z - y).mean() if len(y) else 0.0
        return Metrics({"absolute_error": off, "count": len(y)})


class MeanAbsoluteError(MeanSquaredError):
    def keras(self) -> tf_keras.losses.Loss:
        return tf_keras.losses.MeanAbsoluteError()


class Huber(MeanSquaredError):
    def keras(self) -> tf_keras.losses.Loss:
        return tf_keras.losses.Huber(self.config.huber_delta)


class CosineSimilarity(MeanSquaredError):
    def keras(self) -> tf_keras.losses.Loss:
        return tf_keras.losses.CosineSimilarity()

    def metrics(self, z: np.ndarray, y: np.ndarray, nearly: float) -> Metrics:
        lengths = [np.maximum(np.linalg.norm(x, axis=1), 1e-6) for x in (z, y)]
        cosines = (z * y).sum(1) / (lengths[0] * lengths[1])
        found = cosines.mean() if len(y) else 0.0
        return Metrics({"similarity": found, "count": len(y)})


def _by_rows(flags: np.ndarray) -> np.ndarray:
    """Returns [B]: whether all flags of a row are set."""
    return flags.reshape(len(flags), -1).all(1)


KERAS_LOSSES = {
    "sparse_cross_entropy": SparseCrossEntropy,
    "categorical_cross_entropy": CategoricalCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "cosine_similarity": CosineSimilarity,
}
