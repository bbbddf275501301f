"""One Keras model inside a method: its graph, its plan, and how it is run."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tf_keras

from tflite_odl.builtin import penalties, random, rows, tape
from tflite_odl.builtin.constraints import Constraint
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.observe import SEEN, Observed
from tflite_odl.builtin.plan import names, plan
from tflite_odl.builtin.quantized import Backbone, split
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError
from tflite_odl.methods.base import StateTensor, Tensors
from tflite_odl.methods.config import NetworkConfig
from tflite_odl.methods.features import features
from tflite_odl.reading.freeze import trainable_layers
from tflite_odl.reading.graph import from_keras
from tflite_odl.reading.precision import in_float32
from tflite_odl.reading.simplify import simplified


def computing_in_float32(model: tf_keras.Model) -> tf_keras.Model:
    """Returns the model if its layers compute in float32, else a copy that does.

    Raises:
      ModelError: a layer of float64, or a quantized one.

    Warns:
      UserWarning: the model has layers of 16-bit floats.
    """
    model, notes = in_float32(model)
    for note in notes:
        warnings.warn(note, stacklevel=4)
    return model


def without_left_out(model: tf_keras.Model) -> tf_keras.Model:
    """Returns the model without the layers that training leaves out.

    Warns:
      UserWarning: of each such layer.
    """
    model, notes = simplified(model)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return model


class Network:
    """A Keras model as a layer graph whose changing weights are in the state.

    Args:
      model: a tf_keras model with one output.
      config: what of it learns, and how its lowerings are chosen.
      choices: {node name: lowering name}, else the default plan.
      prefix: of its names in the state, where a method has several networks.
      salts: of the method's draws, where there are others beside the network's.
      rewrite: what is made of the model's layer graph.
      frozen: nothing of it learns, whatever the model and the configuration say.

    Attributes:
      model: the Keras model.
      graph: the layer graph.
      plan: {node name: lowering}.
      features: the model's inputs.
      backbone: what is frozen from the inputs on, in int8; None: as the rest.
      observed: activations whose ends are followed in the state; None: none are.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        config: NetworkConfig,
        choices: Mapping[str, str] | None = None,
        prefix: str = "",
        salts: random.Salts | None = None,
        rewrite: Callable[[Graph], Graph] = lambda graph: graph,
        frozen: bool = False,
    ) -> None:
        self.model, self.config, self.prefix = model, config, prefix
        learning = () if frozen else trainable_layers(model, config.trainable)
        salts = salts or random.Salts()
        graph = from_keras(
            model, learning, config.batch_norm, lambda name: salts(prefix + name)
        )
        self.graph = rewrite(graph)
        self.plan = plan(self.graph, choices, config.target)
        self.features = features(self.graph.inputs, config.preprocessing)
        self.backbone: Backbone | None = None
        self.observed: Observed | None = None

    def with_backbone(self, backbone: Backbone) -> Network:
        """Returns the same network, its frozen part quantized."""
        for node in split(self.graph).front.nodes:
            if node.name in self.graph.activities:
                raise ModelError(
                    f"layer {node.layer!r} is frozen and has a penalty on its output: "
                    "in int8 it would be another one; leave out --quantize"
                )
        network = copy.copy(self)
        network.backbone = backbone
        return network

    def observing(self, observed: Observed) -> Network:
        """Returns the same network, which follows how far its activations go."""
        network = copy.copy(self)
        network.observed = observed
        return network

    def until(self, node: str) -> Network:
        """Returns the same network up to a node, which gives its output."""
        network = copy.copy(self)
        network.graph = self.graph.until(node)
        return network

    @property
    def tail(self) -> Graph:
        """What runs in float32: the graph, behind the backbone if there is one."""
        return self.graph if self.backbone is None else split(self.graph).tail

    def start(self, x: Sequence[tf.Tensor], judged: bool = False) -> list[tf.Tensor]:
        """Returns one tensor for each input node of `tail`.

        Args:
          x: one [B, ...] float32 for each input node of the model.
          judged: whether rows that are not finite are zeroed already.
        """
        if self.backbone is None:
            return list(x)
        ends = self.backbone.values(x) if judged else self.backbone.run(x)
        given = dict(zip([n.name for n in self.graph.inputs], x, strict=True)) | ends
        return [given[node.name] for node in self.tail.inputs]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the model's layers, as the graph's name scopes have them."""
        return tuple(dict.fromkeys(tape.scope_name(node) for node in self.graph.nodes))

    @property
    def plan_names(self) -> dict[str, str]:
        """{node name: lowering name}."""
        return names(self.plan)

    def state_tensors(self) -> list[StateTensor]:
        """Returns the weights that change; the others are constants of the graph."""
        of, graph = StateTensor.of, self.graph
        tensors = [
            of(self.prefix + name, graph.weights[name], "weight")
            for name in graph.stateful
        ]
        if self.observed is not None:
            about = "how far activations went, a moving average of batches' largest"
            seen = self.observed.first
            tensors.append(of(self.prefix + SEEN, seen, "weight", about))
        return tensors

    def learning(self) -> dict:
        """Returns {state name: first value} of the weights that gradients move."""
        weights = self.graph.weights
        return {self.prefix + name: weights[name] for name in self.graph.trainable}

    def constraints(self) -> dict[str, Constraint]:
        """Returns {state name: what the weight is brought to after an update}."""
        found = self.graph.constraints
        return {self.prefix + name: constraint for name, constraint in found.items()}

    def specs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the model's inputs as a signature takes them."""
        return tuple(feature.spec(batch_size) for feature in self.features)

    def preprocess(self, inputs: Tensors) -> list[tf.Tensor]:
        """Returns raw inputs as the model's input nodes take them."""
        return [
            feature.preprocessing(inputs[feature.name]) for feature in self.features
        ]

    def counted(self, inputs: Tensors) -> rows.Counted:
        """Returns raw inputs preprocessed, and which rows of them count.

        Args:
          inputs: the features, and `count` [1] int32.
        """
        limit = self.config.feature_limit
        limits = [
            None if feature.stays_within(limit) else feature.bounds(limit)
            for feature in self.features
        ]
        return rows.counted(self.preprocess(inputs), inputs["count"], limits)

    def forward(self, state: Tensors, x: Sequence[tf.Tensor], good: Rows) -> tape.Tape:
        """Returns the record of the forward pass in training.

        Args:
          state: of the method; `random` is what dropout is drawn from.
          x: one [B, ...] float32 for each input node.
          good: which rows count.
        """
        run = Pass(True, good, self.graph.differentiated(), state["random"])
        limit = self.config.chunk_mb * 1e6
        record = self._tape(state, self.start(x, judged=True), run, limit)
        if self.observed is not None:
            before = state[self.prefix + SEEN]
            record.moved[SEEN] = self.observed.moved(record, good, before)
        return record

    def infer(
        self,
        state: Tensors,
        x: Sequence[tf.Tensor],
        good: Rows,
        judged: bool = False,
    ) -> tf.Tensor:
        """Returns the output [B, ...] in inference; the arguments are `forward`'s.

        `judged` says whether rows that are not finite are zeroed already.
        """
        return self.inference(state, x, good, judged).output

    def inference(
        self,
        state: Tensors,
        x: Sequence[tf.Tensor],
        good: Rows,
        judged: bool = False,
    ) -> tape.Tape:
        """Returns the record of inference; the arguments are `infer`'s."""
        return self._tape(state, self.start(x, judged), Pass(False, good))

    def _tape(
        self, state: Tensors, x: Sequence[tf.Tensor], run: Pass, limit: float = 0.0
    ) -> tape.Tape:
        own, names = self.own(state), [node.name for node in self.tail.inputs]
        values = {name: [value] for name, value in zip(names, x, strict=True)}
        return tape.resume(self.graph, self.plan, own, values, run, limit)

    def own(self, state: Tensors) -> Tensors:
        """Returns {weight name: value} of the network's part of the state."""
        if not self.prefix:
            return state
        return {name: state[self.prefix + name] for name in self.graph.stateful}

    def penalized(
        self, state: Tensors, loss: tf.Tensor, record: tape.Tape, rows: Rows
    ) -> tf.Tensor:
        """Returns a loss, [1], with the model's penalties on weights and activations.

        Args:
          state: of the method.
          loss: of the output.
          record: of the run that made the output.
          rows: over which penalties on activations are averaged.
        """
        own, terms = self.own(state), self.graph.penalties
        found = [*penalties.of_weights(terms, own), *record.activities(rows)]
        if frozen := self.graph.frozen_penalty:
            found.append(tf.constant([frozen], tf.float32))
        return penalties.added(loss, found)

    def gradients(self, state: Tensors, of_loss: Tensors) -> dict[str, tf.Tensor]:
        """Returns {state name: gradient} of the penalized loss.

        Args:
          state: of the method.
          of_loss: {weight name: gradient}, without the penalties on weights.
        """
        own, terms = self.own(state), self.graph.penalties
        return self.named(penalties.steeper(of_loss, terms, own))

    def named(self, values: Tensors) -> dict[str, tf.Tensor]:
        """Returns {state name: value} of what is by the graph's weight names."""
        return {self.prefix + name: value for name, value in values.items()}
