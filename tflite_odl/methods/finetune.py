"""`finetune`: plain supervised training of the whole net or of its last layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import keras_graph, losses, optimizers, random, rows, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import names, plan
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import Method, StateTensor, Step, Tensors
from tflite_odl.models.freeze import trainable_layers
from tflite_odl.models.logits import as_logits


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """Configuration of `finetune`.

    Attributes:
      trainable: "all", "head", "last:K", or a regular expression on layer names.
      batch_norm: "batch" statistics in trainable layers, as Keras; or "frozen".
      optimizer: key of `optimizers.OPTIMIZERS`.
      learning_rate: None takes the optimizer's own default.
      clip_norm: largest global norm of the gradients; None does not clip, and then
        `configure` cannot switch it on.
      noise: amplitude of uniform noise added to the preprocessed input in training.
      seed: of the graph's random generator.
      target: processor the lowerings are chosen for, one of `plan.TARGETS`.
    """

    trainable: str = "all"
    batch_norm: str = "batch"
    optimizer: str = "sgd"
    learning_rate: float | None = None
    clip_norm: float | None = None
    noise: float = 0.0
    seed: int = 0
    target: str = "portable"
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        if self.optimizer not in optimizers.OPTIMIZERS:
            raise ModelError(
                f"optimizer {self.optimizer!r} is not one of "
                f"{list(optimizers.OPTIMIZERS)}"
            )
        for name, low in (("learning_rate", 0), ("clip_norm", 0), ("noise", -1e-45)):
            value = getattr(self, name)
            if value is not None and not low < value < np.inf:
                raise ModelError(f"{name} must be finite and positive, got {value}")


class Finetune(Method):
    """Sparse cross-entropy on labelled rows; rows with y = -1 only feed batch norms.

    Args:
      model: a tf_keras model with one input and one output, logits or softmax.
      classes: class names, or none.
      choices: {node name: lowering name}, else the default plan.
      **config: fields of `FinetuneConfig`.

    Raises:
      ModelError: the model or an option of it cannot be trained with builtin ops.
    """

    name = "finetune"
    Config = FinetuneConfig

    def __init__(
        self,
        model: tf_keras.Model,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        self.config = self.Config(**config)
        self.model, self.ending = as_logits(model)
        self.classes = tuple(classes)
        learning = trainable_layers(self.model, self.config.trainable)
        self.graph = keras_graph.from_keras(
            self.model, learning, self.config.batch_norm
        )
        self.plan = plan(self.graph, choices, self.config.target)
        self.optimizer = _optimizer(self.config)
        self._check_shapes()

    def _check_shapes(self) -> None:
        if len(self.graph.inputs) != 1 or len(self.graph.output.shape) != 1:
            raise ModelError(
                f"finetune needs one input and an output [C], the model has "
                f"{[list(node.shape) for node in self.graph.inputs]} and "
                f"{list(self.graph.output.shape)}"
            )
        if self.classes and len(self.classes) != self.num_classes:
            raise ModelError(
                f"{len(self.classes)} class names for {self.num_classes} outputs"
            )

    @property
    def num_classes(self) -> int:
        return self.graph.output.shape[0]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the model's layers, as the graph's name scopes have them."""
        return tuple(dict.fromkeys(tape.scope_name(node) for node in self.graph.nodes))

    @property
    def plan_names(self) -> dict[str, str]:
        """{node name: lowering name}."""
        return names(self.plan)

    def state_tensors(self) -> list[StateTensor]:
        graph, of = self.graph, StateTensor.of
        learning = {name: graph.weights[name] for name in graph.trainable}
        settings = self.optimizer.hyperparameters()
        if self.config.clip_norm is not None:
            settings["clip_norm"] = self.config.clip_norm
        slots = self.optimizer.initial(learning)
        return [
            *(of(name, graph.weights[name], "weight") for name in graph.stateful),
            *(of(name, value, "slot") for name, value in slots.items()),
            *(
                of(name, np.float32(value), "hyperparameter")
                for name, value in settings.items()
            ),
            of("step", np.int32(0), "counter", "training steps that changed the state"),
            of("random", random.initial(self.config.seed), "random", "seed, counter"),
        ]

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        shape = (batch_size, *self.graph.inputs[0].shape)
        return (
            TensorSpec("x", self.config.preprocessing.dtype, shape, about="raw input"),
            TensorSpec("y", "int32", (batch_size,), about="label, -1 = unlabelled"),
            TensorSpec("count", "int32", (1,), unit="rows", about="real leading rows"),
        )

    def train(self, state: Tensors, inputs: Tensors) -> Step:
        batch = rows.check(**inputs, classes=self.num_classes)
        x = self.augment(state, self.config.preprocessing(batch.x))
        wants = self.graph.differentiated()
        run = Pass(True, Rows.of(batch.good), wants)
        record = tape.forward(self.graph, self.plan, state, [x], run)
        loss, dlogits = losses.sparse_cross_entropy(
            record.output, batch.labels, batch.labelled
        )
        gradients = record.backward(dlogits)
        return self._finish(state, batch, loss, gradients, record.moved)

    def _finish(self, state, batch: rows.Checked, loss, gradients, moved) -> Step:
        """Returns the step: optimizer applied, counters advanced, or rejected."""
        norm = tf.sqrt(optimizers.squared_norm(gradients))
        some = tf.reduce_sum(batch.labelled, keepdims=True) > 0.0
        whole = tf.logical_and(rows.finite(loss), rows.finite(norm))
        accepted = tf.logical_and(some, whole)
        if self.config.clip_norm is not None:
            gradients = optimizers.clip(gradients, norm, state["clip_norm"])
        news = self.optimizer.update(gradients, state, self.updates(state))
        step = state["step"] + 1
        news |= moved | {"step": step, "random": random.advance(state["random"])}
        metrics = {
            "loss": loss,
            "step": state["step"] + tf.cast(accepted, tf.int32),
            "rejected_rows": batch.rejected,
            "accepted": tf.cast(accepted, tf.int32),
            "gradient_norm": norm,
        }
        return Step(metrics, news, accepted)

    def updates(self, state: Tensors) -> tf.Tensor:
        """Returns [1] int32: how often the optimizer was applied so far."""
        return state["step"]

    def augment(self, state: Tensors, x: tf.Tensor) -> tf.Tensor:
        """Returns x with the configured noise."""
        if not self.config.noise:
            return x
        noise = random.uniform(state["random"], x.shape) * 2.0 - 1.0
        return x + noise * self.config.noise

    def infer(self, state: Tensors, x: tf.Tensor) -> dict[str, tf.Tensor]:
        good = Rows.of(tf.ones([x.shape[0]]))
        return {"probabilities": tf.nn.softmax(self._logits(state, x, good))}

    def evaluate(self, state: Tensors, inputs: Tensors) -> dict[str, tf.Tensor]:
        batch = rows.check(**inputs, classes=self.num_classes)
        logits = self._logits(state, batch.x, Rows.of(batch.good))
        loss, _ = losses.sparse_cross_entropy(logits, batch.labels, batch.labelled)
        hits = losses.correct(logits, batch.labels, batch.labelled)
        counted = tf.reduce_sum(batch.labelled, keepdims=True)
        return {
            "loss": loss,
            "correct": tf.cast(hits, tf.int32),
            "count": tf.cast(counted, tf.int32),
        }

    def _logits(self, state: Tensors, x: tf.Tensor, good: Rows) -> tf.Tensor:
        x = self.config.preprocessing(x)
        run = Pass(False, good)
        return tape.forward(self.graph, self.plan, state, [x], run).output


def _optimizer(config: FinetuneConfig) -> optimizers.Optimizer:
    kind = optimizers.OPTIMIZERS[config.optimizer]
    rate = config.learning_rate
    return kind() if rate is None else kind(learning_rate=rate)
