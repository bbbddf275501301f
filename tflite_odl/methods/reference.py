"""The supervised step in plain Keras: what an artifact is compared with.

Nothing here is shared with the lowerings: Keras' own layers, loss, optimizers and
automatic gradients, in float32 or float64, on just the rows that count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import keras_graph, random
from tflite_odl.builtin.optimizers import slot_name
from tflite_odl.methods.finetune import Finetune
from tflite_odl.models.reference import float32_copy, float64_copy

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch as the train signature takes it."""

    x: np.ndarray
    y: np.ndarray
    count: np.ndarray

    def inputs(self) -> dict[str, np.ndarray]:
        return {"x": self.x, "y": self.y, "count": self.count}


class KerasReference:
    """`finetune` by Keras.

    Args:
      method: the method whose model, optimizer and options are followed.
      dtype: "float32" or "float64".
    """

    def __init__(self, method: Finetune, dtype: str) -> None:
        self.method, self.dtype = method, dtype
        # Distances at which a choice of the last step would go the other way.
        self.margins = np.zeros(0)
        copy = float64_copy if dtype == "float64" else float32_copy
        self.model = copy(method.model)
        self.variables = keras_graph.variables(self.model)
        self.learning = [self.variables[name] for name in method.graph.trainable]
        moving = {id(self.variables[name]) for name in method.graph.moving}
        for layer in _batch_norms(self.model):
            layer.trainable = id(layer.moving_mean) in moving

    def step(self, state: Arrays, batch: Batch) -> tuple[dict[str, np.ndarray], float]:
        """Returns (the whole new state, the loss) of one training step."""
        self._load(state)
        x, y = self._rows(batch)
        x = self._preprocess(x)
        if self.method.config.noise:
            x = x + self._noise(state, batch)
        with tf.GradientTape() as tape:
            tape.watch(self.learning)
            loss = self._loss(self.model(x, training=True), y)
        gradients = tape.gradient(loss, self.learning)
        if "clip_norm" in state:
            gradients, _ = tf.clip_by_global_norm(
                gradients, float(state["clip_norm"][0])
            )
        optimizer = self._optimizer(state)
        optimizer.apply_gradients(zip(gradients, self.learning, strict=True))
        return self._new_state(state, optimizer), float(loss)

    def probabilities(self, state: Arrays, x: np.ndarray) -> np.ndarray:
        """Returns [N, C] from Keras' inference mode."""
        self._load(state)
        logits = self.model(self._preprocess(x), training=False)
        return tf.nn.softmax(logits).numpy()

    def evaluate(self, state: Arrays, batch: Batch) -> dict[str, Any]:
        """Returns the loss, and the logits and labels of the labelled rows."""
        self._load(state)
        x, y = self._rows(batch)
        logits = self.model(self._preprocess(x), training=False)
        keep = y >= 0
        loss = float(self._loss(logits, y))
        return {"loss": loss, "logits": logits.numpy()[keep], "labels": y[keep]}

    def _load(self, state: Arrays) -> None:
        for name, variable in self.variables.items():
            value = state.get(name, self.method.graph.weights.get(name))
            if value is not None:
                variable.assign(np.asarray(value, self.dtype))

    def good(self, batch: Batch) -> np.ndarray:
        """Returns [B] bool: the rows that count."""
        real = np.arange(len(batch.y)) < batch.count[0]
        finite = np.isfinite(batch.x.reshape(len(batch.x), -1)).all(1)
        in_range = (batch.y >= -1) & (batch.y < self.method.num_classes)
        return real & finite & in_range

    def _rows(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        good = self.good(batch)
        return batch.x[good], batch.y[good]

    def _preprocess(self, x: np.ndarray) -> np.ndarray:
        settings = self.method.config.preprocessing
        scale = np.asarray(settings.scale, np.float32).astype(self.dtype)
        offset = np.asarray(settings.offset, np.float32).astype(self.dtype)
        return x.astype(self.dtype) * scale + offset

    def _noise(self, state: Arrays, batch: Batch) -> np.ndarray:
        uniform = random.uniform(tf.constant(state["random"]), batch.x.shape).numpy()
        noise = (uniform * 2 - 1) * np.float32(self.method.config.noise)
        return noise[self.good(batch)].astype(self.dtype)

    def _loss(self, logits: tf.Tensor, y: np.ndarray) -> tf.Tensor:
        keep = np.flatnonzero(y >= 0)
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return loss(y[keep], tf.gather(logits, keep))

    def _optimizer(self, state: Arrays) -> tf_keras.optimizers.Optimizer:
        """Returns Keras' optimizer with hyper-parameters and slots from the state."""
        settings = {
            name: float(state[name][0])
            for name in self.method.optimizer.hyperparameters()
        }
        optimizer = KERAS_OPTIMIZERS[self.method.config.optimizer](**settings)
        optimizer.build(self.learning)
        optimizer.iterations.assign(int(state["step"][0]))
        for slot, variables in self._slots(optimizer).items():
            for name, variable in zip(
                self.method.graph.trainable, variables, strict=True
            ):
                variable.assign(state[slot_name(name, slot)].astype(self.dtype))
        return optimizer

    def _slots(self, optimizer: tf_keras.optimizers.Optimizer) -> dict[str, list]:
        attributes = KERAS_SLOTS[self.method.config.optimizer]
        return {slot: getattr(optimizer, name) for slot, name in attributes.items()}

    def _new_state(self, state: Arrays, optimizer) -> dict[str, np.ndarray]:
        news = {
            name: self.variables[name].numpy() for name in self.method.graph.stateful
        }
        for slot, variables in self._slots(optimizer).items():
            for name, variable in zip(
                self.method.graph.trainable, variables, strict=True
            ):
                news[slot_name(name, slot)] = variable.numpy()
        counter = np.array([0, 1], np.int32)
        news |= {"step": state["step"] + 1, "random": state["random"] + counter}
        return {**state, **news}


def _batch_norms(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]


KERAS_OPTIMIZERS = {
    "sgd": tf_keras.optimizers.SGD,
    "momentum": tf_keras.optimizers.SGD,
    "adam": tf_keras.optimizers.Adam,
}
KERAS_SLOTS = {
    "sgd": {},
    "momentum": {"momentum": "momentums"},
    "adam": {"first_moment": "_momentums", "second_moment": "_velocities"},
}
