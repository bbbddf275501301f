"""Collects the nodes and weights of a layer graph while a Keras model is walked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.constraints import Constraint
from tflite_odl.builtin.graph import Graph, Node, reachable
from tflite_odl.builtin.ops import FAMILIES
from tflite_odl.builtin.over_time import SUFFIX
from tflite_odl.builtin.penalties import Penalty
from tflite_odl.errors import ModelError
from tflite_odl.reading import names, padding, penalties
from tflite_odl.reading.context import LayerContext

MOVING = ("moving_mean", "moving_variance")
# Ops behind which an input's values are still its own.
_MOVES = ("reshape", "slice", "permute", "repeat")


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
        # By the weight's id, as a weight that is used twice counts once.
        self.penalties: dict[int, penalties.Term] = {}
        self.constraints: dict[int, Constraint] = {}
        self.activities: dict[str, Penalty] = {}

    def add_terms(self, layer: Any, path: str, output: str) -> None:
        """Notes a layer's penalties and constraints, those of weights by their id."""
        self.add_penalties(layer, path)
        for variable, constraint in penalties.constrained(layer, path):
            self.constraints[id(variable)] = constraint
        if penalty := penalties.activity(layer, path):
            before = self.activities.get(output, Penalty())
            self.activities[output] = before + penalty

    def add_penalties(self, layer: Any, path: str) -> None:
        """Notes a layer's penalties on its weights."""
        for term in penalties.regularized(layer, path):
            self.penalties[id(term.variable)] = term

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
        name = names.unique(tensor.name.split(":")[0], self.nodes)
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
        name = names.unique(context.path + suffix, self.nodes)
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
        name = names.of_weight(path, role)
        if self.variables.setdefault(name, variable) is not variable:
            raise ModelError(f"two layers' weights are both named {name!r}: rename one")
        return name

    def finish(self, output: str) -> Graph:
        """Returns the graph of what the node of this name needs."""
        kept = sorted(reachable(self.nodes, output), key=lambda n: n.name == output)
        nodes = padding.folded(tuple(map(self._bounded, kept)), self.activities)
        roles = {n: r for node in nodes for r, n in node.weights.items()}
        learning = {
            n for node in nodes if node.trainable for n in node.weights.values()
        }
        trained = tuple(n for n in roles if n in learning and roles[n] not in MOVING)
        moving = [
            node.weights[role]
            for node in nodes
            for role in MOVING
            if node.attributes.get("statistics") == "batch"
        ]
        present = {node.name for node in nodes}
        constrained = {n: self.constraints.get(id(self.variables[n])) for n in trained}
        terms = {n: self.penalties.get(id(self.variables[n])) for n in roles}
        return Graph(
            nodes,
            {n: np.asarray(self.variables[n].numpy(), np.float32) for n in roles},
            trained,
            tuple(dict.fromkeys(moving)),
            {n: terms[n].penalty for n in trained if terms[n]},
            {n: p for n, p in self.activities.items() if n in present},
            {n: c for n, c in constrained.items() if c is not None},
            self._fixed({node.layer for node in nodes}, trained),
        )

    def _fixed(self, layers: Collection[str], trained: Collection[str]) -> float:
        """Returns what the weights of these layers that do not learn add to the loss,
        those of layers that are carried among them."""
        learning = {id(self.variables[name]) for name in trained}
        return sum(
            term.penalty.number(term.variable.numpy())
            for key, term in self.penalties.items()
            if term.layer in layers and key not in learning and not term.of_learning
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
