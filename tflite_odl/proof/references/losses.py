"""The losses in Keras, and the metrics in NumPy: nothing shared with the graph's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
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

    def labelled_rows(self, y: np.ndarray) -> np.ndarray:
        """Returns [B] bool: rows with a label of some place."""
        return self.labelled(y).reshape(len(y), -1).any(1)

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

    def of_rows(self, output: tf.Tensor, y: np.ndarray, weight: np.ndarray):
        """Returns the loss of rows: output [B, *P, C], y like the signature's label,
        weight [B]; places without a label are left out."""
        return self.value(*self._labelled_places(output, y, weight))

    def metrics_of_rows(
        self, output: tf.Tensor, y: np.ndarray, nearly: float
    ) -> Metrics:
        """Returns the metrics of rows, likewise."""
        z, y, _ = self._labelled_places(output, y, np.ones(len(y)))
        return self.metrics(z.numpy(), y, nearly)

    def _labelled_places(self, output: tf.Tensor, y: np.ndarray, weight: np.ndarray):
        """Returns output [N, C], labels and weights [N] of the labelled places."""
        labelled = self.labelled(y).reshape(len(y), -1)
        keep = np.flatnonzero(labelled)
        weight = np.repeat(weight, labelled.shape[1])[keep]
        z = tf.gather(tf.reshape(output, [-1, self.outputs]), keep)
        weight = weight.astype(z.dtype.as_numpy_dtype)
        return z, self.places(y)[keep], weight

    def predictions(self, z: tf.Tensor) -> dict[str, np.ndarray]:
        """Returns what infer returns, by name."""
        return {self.output: self.predict(z)}

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
    def value(self, z: tf.Tensor, y: np.ndarray, weight: np.ndarray) -> tf.Tensor:
        """In TensorFlow: Keras' own computes in float32, whatever it is given."""
        error, delta = (
            tf.abs(z - y.astype(z.dtype.as_numpy_dtype)),
            self.config.huber_delta,
        )
        line = delta * error - delta * delta / 2
        values = tf.where(error <= delta, error * error / 2, line)
        return tf.reduce_sum(tf.reduce_mean(values, 1) * weight) / max(len(y), 1)


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


class Several:
    """The losses of several outputs, joined: [B, N]; labels are a structured array with
    a field for each output.

    Args: config, the method's; shapes, {output name: shape without the batch}.
    """

    def __init__(self, config: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        kinds = config.loss_of(list(shapes))
        self.config = config
        self.parts = {n: KERAS_LOSSES[kinds[n]](config, s) for n, s in shapes.items()}

    def valid(self, y: np.ndarray) -> np.ndarray:
        return np.all([part.valid(y[n]) for n, part in self.parts.items()], 0)

    def of_rows(self, output: tf.Tensor, y: np.ndarray, weight: np.ndarray):
        return tf.add_n(
            [
                part.of_rows(z, y[name], weight)
                * self.config.loss_weights.get(name, 1.0)
                for name, part, z in self._split(output)
            ]
        )

    def metrics_of_rows(
        self, output: tf.Tensor, y: np.ndarray, nearly: float
    ) -> Metrics:
        values, slack = {}, {}
        for name, part, z in self._split(output):
            found = part.metrics_of_rows(z, y[name], nearly)
            values |= {f"{n}_{name}": v for n, v in found.values.items()}
            slack |= {f"{n}_{name}": v for n, v in found.slack.items()}
        return Metrics({**values, "count": self.labelled_rows(y).sum()}, slack)

    def labelled_rows(self, y: np.ndarray) -> np.ndarray:
        return np.any([p.labelled_rows(y[n]) for n, p in self.parts.items()], 0)

    def predictions(self, z: tf.Tensor) -> dict[str, np.ndarray]:
        return {
            f"{part.output}_{name}": part.predict(output)
            for name, part, output in self._split(z)
        }

    def _split(self, output: tf.Tensor) -> Iterator[tuple[str, Any, tf.Tensor]]:
        sizes = [int(np.prod(part.shape)) for part in self.parts.values()]
        pieces = tf.split(output, sizes, 1)
        for (name, part), z in zip(self.parts.items(), pieces, strict=True):
            yield name, part, tf.reshape(z, [-1, *part.shape])


def of_method(method: Any) -> Any:
    """Returns the loss of a method in Keras: of its output, or of its several ones."""
    loss = method.loss
    if hasattr(loss, "parts"):
        return Several(method.config, {n: p.shape for n, p in loss.parts.items()})
    (kind,) = method.config.loss_of(list(method.endings)).values()
    return KERAS_LOSSES[kind](method.config, loss.shape)
