"""A tf_keras model -> a layer graph."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import random
from tflite_odl.builtin.constraints import Constraint
from tflite_odl.builtin.graph import Graph, Node, reachable
from tflite_odl.builtin.ops import FAMILIES
from tflite_odl.builtin.over_time import SUFFIX
from tflite_odl.builtin.penalties import Penalty
from tflite_odl.errors import ModelError
from tflite_odl.reading import carried, masks, penalties, understood
from tflite_odl.reading.layers import CONVERTERS, LAYERS, MASKED

_MASKED_OUTPUT = (
    "model {!r}: its output has a mask, by which Keras' fit would leave steps out of "
    "the loss; here all steps count: give the others no label"
)
_TimeDistributed = tf_keras.layers.TimeDistributed
MOVING = ("moving_mean", "moving_variance")
# Ops behind which an input's values are still its own.
_MOVES = ("reshape", "slice", "permute", "repeat")


def from_keras(
    model: tf_keras.Model,
    trainable: Collection[str],
    batch_norm: str = "batch",
    salts: Callable[[str], int] | None = None,
) -> Graph:
    """Returns the layer graph of a functional or sequential model.

    Args:
      model: built, channels last, one output.
      trainable: names of the layers that learn (nested ones as "outer/inner").
      batch_norm: "batch": trainable batch norms use batch statistics in training, as
        in Keras; "frozen": they keep their moving statistics.
      salts: name of a draw -> its salt, see `random.Salts`; None: no other draws are
        made beside the model's.

    Raises:
      ModelError: a layer, or an option of one, that cannot be lowered; it is named.

    Warns:
      UserWarning: the output has a Keras mask, which the loss here does not see.
    """
    if batch_norm not in ("batch", "frozen"):
        raise ModelError(f"batch_norm is 'batch' or 'frozen', got {batch_norm!r}")
    builder = GraphBuilder(trainable, batch_norm, salts or random.Salts())
    sources = [Value(builder.add_input(tensor)) for tensor in model.inputs]
    outputs = _walk(model, builder, sources, "")
    if len(outputs) != 1:
        raise ModelError(f"model {model.name!r} has {len(outputs)} outputs, needs one")
    if outputs[0].mask is not None:
        warnings.warn(_MASKED_OUTPUT.format(model.name), stacklevel=3)
    graph = builder.finish(outputs[0].node)
    carried.check(graph)
    return graph


def variables(model: tf_keras.Model) -> dict[str, tf.Variable]:
    """Returns {weight name: Keras variable}, the names being those of the graph."""
    builder = GraphBuilder((), "batch", random.Salts())
    _walk(model, builder, [Value(builder.add_input(t)) for t in model.inputs], "")
    return builder.variables


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the Keras model, as the layer graph has it.

    Attributes:
      node: name of the node that makes it.
      mask: name of the node that makes its Keras mask, [B, T], 1 where a step counts;
        None where the tensor has no mask.
    """

    node: str
    mask: str | None = None


def _walk(
    model: tf_keras.Model, builder: GraphBuilder, sources: Sequence[Value], path: str
) -> list[Value]:
    """Adds every layer of the model; returns its outputs."""
    if not getattr(model, "_nodes_by_depth", None):
        raise ModelError(
            f"model {model.name!r} is subclassed or not built: use the functional or "
            "the sequential API, and give the input's shape"
        )
    known = {id(t): value for t, value in zip(model.inputs, sources, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            if isinstance(call.layer, tf_keras.layers.InputLayer):
                continue
            inputs = [known[id(tensor)] for tensor in call.keras_inputs]
            with builder.inference(call.call_kwargs.get("training") is False):
                found = _add_layer(call, builder, inputs, path)
            for tensor, value in zip(tf.nest.flatten(call.outputs), found, strict=True):
                known[id(tensor)] = value
    return [known[id(tensor)] for tensor in model.outputs]


def _add_layer(
    call, builder: GraphBuilder, inputs: list[Value], path: str
) -> list[Value]:
    """Adds a layer by its converter, or, frozen with nothing that learns before it, as
    its forward pass; returns its outputs."""
    layer = call.layer
    if isinstance(layer, tf_keras.Model):
        return _walk(layer, builder, inputs, f"{path}{layer.name}/")
    convert = _over_time if isinstance(layer, _TimeDistributed) else _converted

    def context() -> LayerContext:
        nodes, found = [v.node for v in inputs], [v.mask for v in inputs]
        return LayerContext(builder, layer, path + layer.name, nodes, call, found)

    before = builder.nodes, builder.variables
    builder.nodes, builder.variables = dict(builder.nodes), dict(builder.variables)
    try:
        return convert(context())
    except ModelError as error:
        builder.nodes, builder.variables = before
        outputs = carried.add(context(), error)
        return [Value(node, mask) for node, mask in outputs]


def _converted(context: LayerContext) -> list[Value]:
    kind = type(context.layer).__name__
    if kind not in CONVERTERS:
        raise ModelError(
            f"layer {context.path!r} ({kind}) cannot be trained with builtin ops: "
            "freeze it and every layer before it (--trainable says what learns), so "
            "that it is carried as it is, or use operators on tensors or one of "
            f"{', '.join(LAYERS)} instead"
        )
    understood.check_layer(context.layer, context.path)
    if getattr(context.layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(f"layer {context.path!r} needs data_format channels_last")
    if kind not in MASKED:
        context.mask = masks.after(context)
    found = CONVERTERS[kind](context)
    outputs = [found] if isinstance(found, str) else found
    for node in outputs:
        context.builder.add_terms(context.layer, context.path, node)
    return [Value(node, context.mask) for node in outputs]


def _over_time(context: LayerContext) -> list[Value]:
    """Adds the layer, or the model, inside a TimeDistributed at every step."""
    layer, builder = context.layer.layer, context.builder
    understood.check_layer(context.layer, context.path)
    parts = [one for one in layer._flatten_layers() if one.weights]
    if len({one.trainable for one in parts}) > 1:
        raise context.refuse("a part of what is inside is frozen", "all or nothing")
    if builder.steps or len(context.shape) < 2:
        raise context.refuse(f"an input of shape {context.shape}", "[B, T, ...]")
    with builder.over_time(context.shape[0], context.path):
        if isinstance(layer, tf_keras.Model):
            sources = [Value(name) for name in context.inputs]
            found = _walk(layer, builder, sources, f"{context.path}/")
        else:
            inside = (builder, layer, context.path, context.inputs, context.call)
            found = _converted(LayerContext(*inside, [None]))
    if context.masks[0] and layer._expects_mask_arg:
        raise context.refuse("its layer would use a mask", "unmasked inputs")
    return [Value(value.node, context.masks[0]) for value in found]


@dataclasses.dataclass
class LayerContext:
    """What a layer's converter works with: the Keras layer, its input nodes, the call
    of it (a Keras node), and for each input the node of its mask, if it has one.

    `mask` is that of the outputs: of layers in `layers.MASKED` their converters set it,
    of others it follows from the inputs'. `given` are the layer's own inputs, `inputs`
    those of the node that is added next.
    """

    builder: GraphBuilder
    layer: Any
    path: str
    inputs: list[str]
    call: Any
    masks: Sequence[str | None] = ()
    mask: str | None = None
    given: tuple[str, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.given = tuple(self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input, without the batch."""
        return self.builder.shape(self.inputs[0])

    @property
    def trainable(self) -> bool:
        return (self.builder.within or self.path) in self.builder.trainable

    @property
    def learns(self) -> bool:
        """Whether the layer learns, or reads what depends on one that does."""
        return self.trainable or not self.builder.learning.isdisjoint(self.inputs)

    @property
    def statistics(self) -> str:
        """Which statistics a batch norm of this model uses while training."""
        learns = self.trainable and self.builder.batch_norm == "batch"
        return "batch" if learns and not self.builder.inferring else "moving"

    def add(
        self,
        op: str,
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, tf.Variable | None] | None = None,
        suffix: str = "",
    ) -> str:
        """Adds a node after this context's inputs and makes it the new input."""
        name = self.builder.add(self, op, shape, attributes, weights or {}, suffix)
        self.inputs = [name]
        return name

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, tf.Variable | None] | None = None,
        suffix: str = "",
    ) -> str:
        """Adds a node that reads what is named; see `add`."""
        self.inputs = list(inputs)
        return self.add(op, shape, attributes, weights, suffix)

    def argument(self, tensor: Any) -> tuple[str, str | None]:
        """Returns node and mask of a tensor among the call's arguments.

        Raises:
          ModelError: it is a constant.
        """
        for place, symbol in enumerate(self.call.keras_inputs):
            if symbol is tensor:
                return self.given[place], self.masks[place]
        raise self.refuse("one of its inputs is a constant", "tensors of the model")

    def salts(self, draws: int) -> list[int]:
        """Returns the salts of so many draws of the node that is added next."""
        name = unique(self.path, self.builder.nodes)
        return [self.builder.salts(f"{name}/draw{draw}") for draw in range(draws)]

    def refuse(self, what: str, instead: str) -> ModelError:
        """Returns the error for an option that cannot be lowered."""
        kind = type(self.layer).__name__
        return ModelError(f"layer {self.path!r} ({kind}): {what}; use {instead}")


class GraphBuilder:
    """Collects nodes and weights while the Keras model is walked."""

    def __init__(
        self,
        trainable: Collection[str],
        batch_norm: str,
        salts: Callable[[str], int],
    ) -> None:
        self.trainable, self.batch_norm = frozenset(trainable), batch_norm
        self.salts = salts
        self.inferring = False
        self.steps, self.within = 0, ""
        self.nodes: dict[str, Node] = {}
        self.variables: dict[str, tf.Variable] = {}
        # Names of the nodes whose output depends on a weight that learns.
        self.learning: set[str] = set()
        # {input node: number of rows of the largest table that it indexes}.
        self.tables: dict[str, int] = {}
        self.penalties: dict[int, tuple[Any, Penalty]] = {}
        self.constraints: dict[int, Constraint] = {}
        self.activities: dict[str, Penalty] = {}

    def add_terms(self, layer: Any, path: str, output: str) -> None:
        """Notes a layer's penalties and constraints, those of weights by their id."""
        for variable, regularizer, penalty in penalties.regularized(layer, path):
            self.penalties[id(variable)] = (regularizer, penalty)
        for variable, constraint in penalties.constrained(layer, path):
            self.constraints[id(variable)] = constraint
        if penalty := penalties.activity(layer, path):
            before = self.activities.get(output, Penalty())
            self.activities[output] = before + penalty

    @contextlib.contextmanager
    def inference(self, on: bool) -> Iterator[None]:
        """Layers added within are called with training=False, if `on`."""
        before, self.inferring = self.inferring, self.inferring or on
        try:
            yield
        finally:
            self.inferring = before

    @contextlib.contextmanager
    def over_time(self, steps: int, path: str) -> Iterator[None]:
        """Layers added within work at each of so many steps; they learn if the layer of
        this path does."""
        self.steps, self.within = steps, path
        try:
            yield
        finally:
            self.steps, self.within = 0, ""

    def add_input(self, tensor) -> str:
        name = unique(tensor.name.split(":")[0], self.nodes)
        shape = tuple(tensor.shape[1:])
        if None in shape:
            raise ModelError(
                f"input {name!r} has shape {shape}: all sizes must be fixed"
            )
        whole = {} if tensor.dtype.is_floating else {"dtype": tensor.dtype.name}
        self.nodes[name] = Node(name, "input", (), shape, name, whole)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns a node's shape, within `over_time` that of one step."""
        return self.nodes[name].shape[1 if self.steps else 0 :]

    def add(self, context: LayerContext, op, shape, attributes, weights, suffix) -> str:
        if self.steps:
            op, shape = self._timed(context, op), (self.steps, *shape)
        name = unique(context.path + suffix, self.nodes)
        present = {role: v for role, v in weights.items() if v is not None}
        named = {
            role: self._weight(context.path + suffix, role, v)
            for role, v in present.items()
        }
        if (named and context.trainable) or not self.learning.isdisjoint(
            context.inputs
        ):
            self.learning.add(name)
        self.nodes[name] = Node(
            name,
            op,
            tuple(context.inputs),
            tuple(int(n) for n in shape),
            context.path,
            attributes or {},
            named,
            bool(named) and context.trainable,
        )
        return name

    def _timed(self, context: LayerContext, op: str) -> str:
        """Returns the op that does at every step what an op does."""
        if op == "batch_norm":
            return op
        if f"{op}{SUFFIX}" not in FAMILIES:
            raise context.refuse("it draws at random", "it outside of TimeDistributed")
        return f"{op}{SUFFIX}"

    def _weight(self, path: str, role: str, variable: tf.Variable) -> str:
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"{path}_{role}")
        name = name if name[0].isalpha() else f"w_{name}"
        if self.variables.setdefault(name, variable) is not variable:
            raise ModelError(f"two layers' weights are both named {name!r}: rename one")
        return name

    def finish(self, output: str) -> Graph:
        kept = sorted(reachable(self.nodes, output), key=lambda n: n.name == output)
        nodes = _fold_padding(tuple(map(self._bounded, kept)), self.activities)
        learning = {
            name: role
            for node in nodes
            for role, name in node.weights.items()
            if node.trainable
        }
        moving = [
            node.weights[role]
            for node in nodes
            for role in MOVING
            if node.attributes.get("statistics") == "batch"
        ]
        used = [name for node in nodes for name in node.weights.values()]
        trained = tuple(name for name, role in learning.items() if role not in MOVING)
        names = {node.name for node in nodes}
        return Graph(
            nodes,
            {n: np.asarray(self.variables[n].numpy(), np.float32) for n in used},
            trained,
            tuple(dict.fromkeys(moving)),
            dict(self._penalties(used, trained)),
            {name: p for name, p in self.activities.items() if name in names},
            {
                name: self.constraints[id(self.variables[name])]
                for name in trained
                if id(self.variables[name]) in self.constraints
            },
        )

    def index(self, name: str, rows: int) -> None:
        """Notes that a node's values are places in a table of so many rows: where they
        are an input's, these are bounded."""
        while self.nodes[name].op in _MOVES:
            (name,) = self.nodes[name].inputs
        if self.nodes[name].op == "input":
            self.tables[name] = max(rows, self.tables.get(name, 0))

    def _bounded(self, node: Node) -> Node:
        if node.name not in self.tables:
            return node
        attributes = {**node.attributes, "below": self.tables[node.name]}
        return dataclasses.replace(node, attributes=attributes)

    def _penalties(
        self, used: Sequence[str], trained: Collection[str]
    ) -> Iterator[tuple[str, Penalty]]:
        """Yields (weight name, the penalty on it)."""
        for name in used:
            found = self.penalties.get(id(self.variables[name]))
            if found is None:
                continue
            regularizer, penalty = found
            of_learning = isinstance(regularizer, penalties.OfLearning)
            if name in trained or not of_learning:
                yield name, penalty


def unique(name: str, taken: Collection[str]) -> str:
    """Returns the name, with a number behind it if it is taken (a shared layer)."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _fold_padding(nodes: tuple[Node, ...], kept: Collection[str]) -> tuple[Node, ...]:
    """Returns the nodes, each ZeroPadding2D folded into the convolutions after it,
    those that are to be kept aside."""
    pads = {n.name: n for n in nodes if n.op == "zero_pad" and n.name not in kept}
    readers = {name: [node for node in nodes if name in node.inputs] for name in pads}
    folded = {
        name
        for name, found in readers.items()
        if found and all(node.op in ("conv2d", "depthwise") for node in found)
    }
    result = []
    for node in nodes:
        if node.inputs and node.inputs[0] in folded:
            result.append(_with_padding(node, pads[node.inputs[0]]))
        elif node.name not in folded:
            result.append(node)
    return tuple(result)


def _with_padding(node: Node, pad: Node) -> Node:
    padding = tuple(
        (mine[0] + more[0], mine[1] + more[1])
        for mine, more in zip(
            node.attributes["padding"], pad.attributes["padding"], strict=True
        )
    )
    size = pad.attributes["input"][:2]
    attributes = {**node.attributes, "padding": padding, "size": size}
    return dataclasses.replace(node, inputs=pad.inputs, attributes=attributes)
