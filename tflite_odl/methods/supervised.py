"""What methods that learn from labels share: a network, a learner and a loss."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl import contract
from tflite_odl.builtin import losses, random, rows
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.observe import Observed
from tflite_odl.builtin.quantized import Backbone
from tflite_odl.builtin.tape import Tape
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.augmentation import View
from tflite_odl.methods.base import (
    Entry,
    Method,
    Outcome,
    Serving,
    StateTensor,
    Tensors,
)
from tflite_odl.methods.compiled import SAVED, resolve
from tflite_odl.methods.config import SupervisedConfig
from tflite_odl.methods.features import with_bytes
from tflite_odl.methods.learner import Learned, Learner
from tflite_odl.methods.network import (
    Network,
    computing_in_float32,
    without_left_out,
)
from tflite_odl.methods.step import counters, settle
from tflite_odl.reading import outputs
from tflite_odl.reading.load import LoadedModel
from tflite_odl.reading.logits import all_as_logits


class Supervised(Method):
    """Trains one network on labelled rows; subclasses say what a step is.

    Args:
      model: a tf_keras model with one output, or what `reading.load.load` made of
        a file; for the cross-entropies it ends in logits, or in softmax (sparse) or
        sigmoid (binary). Loss and optimizer are as it was compiled, see
        `methods.compiled`.
      classes: class names, or none.
      choices: {node name: lowering name}, else the default plan.
      **config: fields of `Config`; what is given takes the place of what the model was
        compiled with.

    Attributes:
      losses: names of those the method can learn by.
      any_shape: whether the output may have more axes than [C].
      source_model: the model as it was given, in float32.
      network: the model, ending in logits for the cross-entropies.
      endings: {output name: the final activation that was taken off for that}.
      views: {input name: what is learned of it}, of inputs that are augmented.
      learner: of its trainable weights.
      salts: of all its random draws.
      loss: of its output.
      notes: where loss and optimizer are from.

    Raises:
      ModelError: the model or an option of it cannot be trained with builtin ops.

    Warns:
      UserWarning: the model has layers of 16-bit floats.
    """

    Config = SupervisedConfig
    follows = True
    losses: tuple[str, ...] = tuple(losses.LOSSES)
    any_shape = False

    def __init__(
        self,
        model: tf_keras.Model | LoadedModel,
        classes: Sequence[str] = (),
        choices: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        loaded = LoadedModel.of(model)
        self._check_outputs(loaded.outputs)
        default = self.Config.optimizer
        resolved = resolve(config, loaded, self.losses, default)
        options = dict(resolved.options)
        taken = with_bytes(loaded.model.inputs, options.get("preprocessing"))
        if taken is not None:
            options["preprocessing"] = taken
        self.config, self.notes = self.Config(**options), resolved.notes
        self.source_model = computing_in_float32(loaded.model)
        model = without_left_out(self.source_model)
        logits, found = self._as_logits(model, loaded.outputs, resolved.logits)
        self.endings = dict(zip(loaded.outputs, found, strict=True))
        self.classes = tuple(classes)
        self.salts = random.Salts()
        several = len(found) > 1
        whole = outputs.joined(logits) if several else logits
        self.network = self.make_network(whole, choices)
        shapes = [self.network.graph.output.shape]
        if several:
            shapes = list(outputs.shapes(logits).values())
        self.loss = self.config.make_loss(dict(zip(self.endings, shapes, strict=True)))
        self._check_shapes()
        self.features = self.network.features
        self._check_noise()
        families = {part.name: self.config.family(part) for part in self.features}
        self.views = {
            name: View.of(family, self.salts, f"augment/{name}")
            for name, family in families.items()
            if family is not None
        }
        self.learner = Learner(
            self.config,
            self.network.learning(),
            constraints=self.network.constraints(),
        )
        self.start = 0
        if self.config.optimizer_state == SAVED:
            state = loaded.compiled.read_state(model)
            self.start = state.batches
            self.learner.resume(state.named(self.config.optimizer))

    def make_network(
        self, model: tf_keras.Model, choices: Mapping[str, str] | None
    ) -> Network:
        """Returns the network that is trained; its arguments are the network's."""
        return Network(model, self.config, choices, salts=self.salts)

    def _check_outputs(self, names: Sequence[str]) -> None:
        """Raises ModelError for several outputs where the method has use for one."""
        if len(names) > 1 and not self.any_shape:
            raise ModelError(
                f"{self.name} needs one output, the model has {list(names)}: choose "
                "one (--output), or use method finetune"
            )

    def _as_logits(
        self, model: tf_keras.Model, names: Sequence[str], said: Collection[str]
    ) -> tuple[tf_keras.Model, list[str]]:
        """Returns (the model, its outputs ending as their losses take them; how the
        given one ends)."""
        kinds = self.config.loss_of(names)
        wanted = [losses.LOSSES[kinds[name]].ending for name in names]
        return all_as_logits(model, wanted, [name in said for name in names])

    def _check_shapes(self) -> None:
        shape = self.network.graph.output.shape
        if len(shape) != 1 and not self.any_shape:
            raise ModelError(
                f"{self.name} needs an output [C], the model has {list(shape)}: use "
                "method finetune"
            )
        single = len(self.endings) == 1
        if self.classes and single and len(self.classes) != self.num_classes:
            raise ModelError(
                f"{len(self.classes)} class names for {self.num_classes} outputs"
            )
        if not self.network.graph.trainable:
            raise ModelError("nothing to train: no layer with weights is trainable")

    def _check_noise(self) -> None:
        whole = [f.name for f in self.features if f.whole]
        if self.config.noise and whole:
            raise ModelError(f"noise on whole numbers, inputs {whole}: needs noise=0")

    @property
    def num_classes(self) -> int:
        """Size of the last axis of the output, also where they are no classes."""
        return self.network.graph.output.shape[-1]

    def layers(self) -> tuple[str, ...]:
        return self.network.layers

    def plan_names(self) -> dict[str, str]:
        return self.network.plan_names

    def state_tensors(self) -> list[StateTensor]:
        return [
            *self.network.state_tensors(),
            *self.learner.state_tensors(),
            *counters(self.config.seed, self.start),
        ]

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The layer graphs that run in training."""
        return (self.network.graph,)

    @property
    def least_rows(self) -> int:
        """How many rows must count so that a step is taken."""
        return max(graph.least_rows for graph in self.graphs)

    def _check_statistics(self, batch_size: int) -> None:
        """Raises ModelError if batch norms would see one value, warns of one row."""
        nodes = [node for graph in self.graphs for node in graph.of_batches]
        if not nodes or batch_size > 1:
            return
        least = next((n for n in nodes if math.prod(n.shape[:-1]) == 1), nodes[0])
        where = f"batch norm {least.layer!r}, batch_size=1"
        instead = (
            "take a larger --batch_size, or --batch_norm=frozen, which keeps the "
            "moving statistics"
        )
        if self.least_rows > batch_size:
            raise ModelError(
                f"{where}: it would see one value of each channel, from which nothing "
                f"can be learned; {instead}"
            )
        warnings.warn(
            f"{where}: its statistics will be those of a single row; {instead}",
            stacklevel=2,
        )

    def entries(self, batch_size: int, infer_batch_size: int) -> list[Entry]:
        self._check_statistics(batch_size)
        inputs = self.inputs(batch_size)
        return [
            Entry(contract.TRAIN, inputs, self.train),
            Entry(contract.INFER, self.network.specs(infer_batch_size), self.infer),
            Entry(contract.EVALUATE, inputs, self.evaluate),
        ]

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the inputs of train and evaluate: the features come first."""
        specs = (
            *self.network.specs(batch_size),
            *self.loss.targets(batch_size),
            TensorSpec("count", "int32", (1,), "count", "rows", "real leading rows"),
        )
        if not self.config.sample_weights:
            return specs
        about = "factor on the row's loss, 0 or more"
        shape = (batch_size,)
        weight = TensorSpec("weight", "float32", shape, "row_weight", "", about, 1.0)
        return (*specs, weight)

    def train(self, state: Tensors, inputs: Tensors) -> Outcome:
        raise NotImplementedError(type(self).__name__)

    def infer(self, state: Tensors, inputs: Tensors) -> Outcome:
        count = inputs[self.features[0].name].shape[0]
        x, every = self.network.preprocess(inputs), Rows.of(tf.ones([count]))
        return Outcome(self.serving().finish(self.network.infer(state, x, every)))

    def serving(self) -> Serving:
        return Serving(self.network, self.loss.predictions)

    def quantized(self, backbone: Backbone) -> Supervised:
        method = copy.copy(self)
        method.network = self.network.with_backbone(backbone)
        return method

    def observing(self, observed: Observed) -> Supervised:
        method = copy.copy(self)
        method.network = self.network.observing(observed)
        return method

    def evaluate(self, state: Tensors, inputs: Tensors) -> Outcome:
        batch = self.check(inputs)
        rows = Rows.of(batch.labelled_rows)
        record = self.network.inference(state, batch.x, rows, judged=True)
        loss, _ = self.loss.value(record.output, batch.y, batch.share)
        loss = self.network.penalized(state, loss, record, rows)
        metrics = self.loss.metrics(record.output, batch.y, batch.labelled)
        return Outcome({"loss": loss, **metrics})

    def check(self, inputs: Tensors) -> rows.Labelled:
        """Returns the inputs of train or evaluate, checked row by row."""
        counted, weight = self.network.counted(inputs), inputs.get("weight")
        y = self.loss.given(inputs)
        batch = rows.labelled(counted, y, self.loss.read, weight)
        factor = self._weight_of_only_loss()
        if factor == 1:
            return batch
        return dataclasses.replace(batch, share=batch.share * factor)

    def _weight_of_only_loss(self) -> float:
        """Returns the factor on the loss of a single output."""
        if len(self.endings) > 1:
            return 1.0
        return next(iter(self.config.loss_weights.values()), 1.0)

    def seen(self, state: Tensors, inputs: Tensors) -> rows.Labelled:
        """Returns the inputs of train, checked, their features augmented."""
        batch = self.check(inputs)
        if not self.views:
            return batch
        x = []
        for part, one in zip(self.features, batch.x, strict=True):
            if part.name in self.views:
                raw = tf.cast(inputs[part.name], tf.float32)
                good = tf.reshape(batch.good, [-1] + [1] * len(part.shape)) > 0.0
                raw = tf.where(good, raw, 0.0)
                one = part.preprocessing(self.views[part.name](state["random"], raw))
            x.append(one)
        return dataclasses.replace(batch, x=x)

    def forward(self, state: Tensors, batch: rows.Labelled) -> Tape:
        """Returns the record of the forward pass in training, inputs with noise."""
        x = self.augment(state, batch.x)
        return self.network.forward(state, x, Rows.of(batch.good))

    def augment(self, state: Tensors, x: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the inputs with the configured noise."""
        if not self.config.noise:
            return list(x)
        draw = state["random"]
        return [
            one + feature.noise(draw, one.shape[0], self.salts) * self.config.noise
            for feature, one in zip(self.features, x, strict=True)
        ]

    def updates(self, state: Tensors) -> tf.Tensor:
        """Returns [1] int32: how often the optimizer was applied so far."""
        if self.config.accumulate == 1:
            return state["step"]
        return state["step"] // self.config.accumulate

    def learn(self, state: Tensors, gradients: Tensors) -> Learned:
        """Returns what the gradients of the loss, {weight name: gradient}, come to;
        those of the penalties on weights are added."""
        gradients = self.network.gradients(state, gradients)
        done = self.updates(state)
        return self.learner.learn(state, gradients, state["step"], done)

    def outcome(
        self,
        state: Tensors,
        batch: rows.Labelled,
        loss: tf.Tensor,
        learned: Learned,
        moved: Tensors,
        news: Tensors = MappingProxyType({}),
        metrics: Tensors = MappingProxyType({}),
    ) -> Outcome:
        """Returns a training step: counters advanced, or all of it rejected.

        Args:
          state: before the step.
          batch: what it learns from.
          loss: [1].
          learned: what its gradients come to.
          moved: {weight name: new value} of what moves without a gradient.
          news: {state name: value}, what else changes at every accepted batch.
          metrics: outputs beside those of every method.
        """
        whole = tf.logical_and(rows.finite(loss), rows.finite(learned.norm))
        outputs = {
            "loss": loss,
            "rejected_rows": batch.rejected,
            "gradient_norm": learned.norm,
            **metrics,
        }
        changes = learned.changes({**self.network.named(moved), **news})
        enough = tf.logical_and(batch.some, self.enough(batch))
        return settle(state, outputs, changes, tf.logical_and(enough, whole))

    def enough(self, batch: rows.Labelled) -> tf.Tensor:
        """Returns [1] bool: whether enough rows count for the batch norms."""
        return tf.reduce_sum(batch.good, keepdims=True) >= float(self.least_rows)

    def proof(self, sample: Any = None) -> Any:
        from tflite_odl.proof.supervised import SupervisedProof

        return SupervisedProof(self, sample)
