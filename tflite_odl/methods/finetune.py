"""`finetune`: plain supervised training of the whole net or of its last layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import losses, optimizers, random, rows, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import names, plan
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import Method, StateTensor, Step, Tensors, Trial
from tflite_odl.methods.config import FinetuneConfig
from tflite_odl.methods.features import features
from tflite_odl.reading.freeze import trainable_layers
from tflite_odl.reading.graph import from_keras
from tflite_odl.reading.logits import as_logits


class Finetune(Method):
    """The loss of labelled rows goes down; unlabelled rows only feed batch norms.

    Args:
      model: a tf_keras model with one output [C]; for the cross-entropies it ends in
        logits, or in softmax (sparse) or sigmoid (binary).
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
        ending = losses.LOSSES[self.config.loss].ending
        self.model, self.ending = (
            as_logits(model, ending) if ending else (model, "as it is")
        )
        self.classes = tuple(classes)
        learning = trainable_layers(self.model, self.config.trainable)
        self.graph = from_keras(self.model, learning, self.config.batch_norm)
        self.plan = plan(self.graph, choices, self.config.target)
        self.optimizer = self.config.make_optimizer()
        self.parts = features(self.graph.inputs, self.config.preprocessing)
        self._check_shapes()
        self.loss = self.config.make_loss(self.num_classes)

    def _check_shapes(self) -> None:
        shape = self.graph.output.shape
        if len(shape) != 1:
            raise ModelError(f"finetune needs an output [C], the model has {shape}")
        if self.classes and len(self.classes) != self.num_classes:
            raise ModelError(
                f"{len(self.classes)} class names for {self.num_classes} outputs"
            )

    @property
    def num_classes(self) -> int:
        """Outputs of the model, also where they are no classes."""
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
        return [
            *(of(name, graph.weights[name], "weight") for name in graph.stateful),
            *(of(name, value, "slot") for name, value in self._slots().items()),
            *(
                of(name, np.float32(value), "hyperparameter")
                for name, value in self._settings().items()
            ),
            of("step", np.int32(0), "counter", "training steps that changed the state"),
            of("random", random.initial(self.config.seed), "random", "seed, counter"),
        ]

    def _slots(self) -> dict[str, np.ndarray]:
        learning = {name: self.graph.weights[name] for name in self.graph.trainable}
        slots = self.optimizer.initial(learning)
        if self.config.accumulate > 1:
            slots |= optimizers.initial_sums(learning)
        return slots

    def _settings(self) -> dict[str, float]:
        settings = self.optimizer.hyperparameters()
        settings |= self.config.schedule.hyperparameters()
        if self.config.clip_norm is not None:
            settings["clip_norm"] = self.config.clip_norm
        return settings

    def features(self, batch_size: int) -> tuple[TensorSpec, ...]:
        return tuple(part.spec(batch_size) for part in self.parts)

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        specs = (
            *self.features(batch_size),
            self.loss.target(batch_size),
            TensorSpec("count", "int32", (1,), "count", "rows", "real leading rows"),
        )
        if not self.config.sample_weights:
            return specs
        about = "factor on the row's loss, 0 or more"
        shape = (batch_size,)
        weight = TensorSpec("weight", "float32", shape, "row_weight", "", about, 1.0)
        return (*specs, weight)

    def train(self, state: Tensors, inputs: Tensors) -> Step:
        batch = self.check(inputs)
        x = self.augment(state, self.preprocess(batch.features))
        record = self.forward(state, batch, x)
        loss, gradient = self.loss.value(record.output, batch.y, batch.share)
        return self.finish(state, batch, loss, record.backward(gradient), record.moved)

    def check(self, inputs: Tensors) -> rows.Checked:
        """Returns the inputs of train or evaluate, checked row by row."""
        given = {part.name: inputs[part.name] for part in self.parts}
        others = {name: inputs[name] for name in inputs if name not in given}
        return rows.check(given, **others, read=self.loss.read)

    def forward(
        self, state: Tensors, batch: rows.Checked, x: Sequence[tf.Tensor]
    ) -> tape.Tape:
        """Returns the record of the forward pass in training."""
        wants = self.graph.differentiated()
        run = Pass(True, Rows.of(batch.good), wants, state["random"])
        limit = self.config.chunk_mb * 1e6
        return tape.forward(self.graph, self.plan, state, x, run, limit)

    def preprocess(self, inputs: Tensors) -> list[tf.Tensor]:
        """Returns the inputs as the model's input nodes take them."""
        return [part.preprocessing(inputs[part.name]) for part in self.parts]

    def augment(self, state: Tensors, x: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the inputs with the configured noise."""
        if not self.config.noise:
            return list(x)
        return [
            one + part.noise(state["random"], one.shape[0], n) * self.config.noise
            for n, (part, one) in enumerate(zip(self.parts, x, strict=True))
        ]

    def finish(
        self,
        state: Tensors,
        batch: rows.Checked,
        loss: tf.Tensor,
        gradients: Tensors,
        moved: Tensors,
    ) -> Step:
        """Returns the step: optimizer applied, counters advanced, or rejected.

        Args:
          state: before the step.
          batch: what it learns from.
          loss: [1].
          gradients: {weight name: gradient} of this batch.
          moved: new values of weights that move without a gradient.
        """
        every = self.config.accumulate
        group = optimizers.gather(gradients, state, state["step"], every)
        norm = tf.sqrt(optimizers.squared_norm(group.mean))
        whole = tf.logical_and(rows.finite(loss), rows.finite(norm))
        accepted = tf.logical_and(batch.some, whole)
        news = {
            **moved,
            **group.sums,
            "step": state["step"] + 1,
            "random": random.advance(state["random"]),
        }
        metrics = {
            "loss": loss,
            "step": state["step"] + tf.cast(accepted, tf.int32),
            "rejected_rows": batch.rejected,
            "accepted": tf.cast(accepted, tf.int32),
            "gradient_norm": norm,
        }
        update = self.update(state, group.mean, norm)
        if every == 1:
            return Step(metrics, {**news, **update}, accepted)
        return Step(metrics, news, accepted, group.due, update)

    def updates(self, state: Tensors) -> tf.Tensor:
        """Returns [1] int32: how often the optimizer was applied so far."""
        if self.config.accumulate == 1:
            return state["step"]
        return state["step"] // self.config.accumulate

    def update(self, state: Tensors, gradients: Tensors, norm: tf.Tensor) -> Tensors:
        """Returns the new weights and slots: clipped, scheduled, optimized.

        Args:
          state: before the step.
          gradients: {weight name: gradient}, the mean of a group's batches.
          norm: [1], their global norm.
        """
        if self.config.clip_norm is not None:
            gradients = optimizers.clip(gradients, norm, state["clip_norm"])
        done = self.updates(state)
        rate = self.config.schedule.rate(state, done)
        return self.optimizer.update(gradients, {**state, "learning_rate": rate}, done)

    def infer(self, state: Tensors, inputs: Tensors) -> dict[str, tf.Tensor]:
        rows_in = inputs[self.parts[0].name].shape[0]
        output = self._infer(state, inputs, Rows.of(tf.ones([rows_in])))
        return {self.loss.output: self.loss.predict(output)}

    def evaluate(self, state: Tensors, inputs: Tensors) -> dict[str, tf.Tensor]:
        batch = self.check(inputs)
        output = self._infer(state, batch.features, Rows.of(batch.good))
        loss, _ = self.loss.value(output, batch.y, batch.share)
        return {"loss": loss, **self.loss.metrics(output, batch.y, batch.labelled)}

    def _infer(self, state: Tensors, inputs: Tensors, good: Rows) -> tf.Tensor:
        x, run = self.preprocess(inputs), Pass(False, good)
        return tape.forward(self.graph, self.plan, state, x, run).output

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns, where steps differ, the first, the last of a group of batches, and
        one amid the schedule's decay."""
        schedule, every = self.config.schedule, self.config.accumulate
        if every == 1 and not schedule.hyperparameters():
            return super().trials(batch_size)
        amid = schedule.warmup_steps + schedule.decay_steps // 2
        steps = (0, every - 1, amid * every + every - 1)
        return [
            Trial(kind, changes=lambda state, at=at: {"step": np.array([at], np.int32)})
            for kind, at in enumerate(steps)
        ]
