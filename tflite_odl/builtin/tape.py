"""Runs a layer graph forward, and backward over what forward kept."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Lowering,
    Pass,
    Residual,
    Site,
    Tensors,
)
from tflite_odl.builtin.zeros import zeros_from

Plan = Mapping[str, Lowering]


@dataclasses.dataclass
class Tape:
    """The record of one forward run.

    Attributes:
      values: {node name: its output, [B, ...]}.
      residuals: {node name: Residual}, only of nodes that backward visits.
      moved: {weight name: new value}, batch norms' moving statistics.
      zeros: where padding comes from, see `builtin.zeros`.
    """

    graph: Graph
    plan: Plan
    weights: Tensors
    run: Pass
    values: dict[str, tf.Tensor]
    residuals: dict[str, Residual]
    moved: dict[str, tf.Tensor]
    zeros: tuple[tf.Tensor, dict]

    @property
    def output(self) -> tf.Tensor:
        """The graph's output, [B, ...]."""
        return self.values[self.graph.output.name]

    def backward(self, gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns {weight name: gradient} for the graph's trainable weights.

        Args:
          gradient: [B, ...], of the loss with respect to the output.
        """
        with zeros_from(*self.zeros):
            return self._backward(gradient)

    def _backward(self, gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        waiting = {self.graph.output.name: [Gradient.of(gradient)]}
        found: dict[str, list[tf.Tensor]] = {}
        for node in reversed(self.graph.nodes):
            if node.name not in self.run.wants or node.name not in waiting:
                continue
            with tf.name_scope(scope("backward", node)):
                self._visit(node, total(waiting.pop(node.name)), waiting, found)
        return {name: functools.reduce(operator.add, g) for name, g in found.items()}

    def _visit(self, node: Node, gradient: Gradient, waiting: dict, found: dict):
        site = Site(node, _weights(node, self.weights), self.run)
        gradients = self.plan[node.name].backward(
            site, self.residuals[node.name], gradient
        )
        for name, part in zip(node.inputs, gradients.inputs, strict=True):
            if part is not None and name in self.run.wants:
                waiting.setdefault(name, []).append(part)
        for role, part in gradients.weights.items():
            if node.weights[role] in self.graph.trainable:
                found.setdefault(node.weights[role], []).append(part)


def forward(
    graph: Graph,
    plan: Plan,
    weights: Tensors,
    inputs: Sequence[tf.Tensor],
    run: Pass,
) -> Tape:
    """Runs the graph on its inputs and returns the record of it.

    Args:
      graph: the model.
      plan: {node name: lowering}.
      weights: {weight name: tensor} for the weights that change; the others are taken
        from the graph as constants.
      inputs: one [B, ...] float32 for each input node.
      run: training or not, which rows count, which gradients will be wanted.
    """
    values = {n.name: x for n, x in zip(graph.inputs, inputs, strict=True)}
    return resume(graph, plan, weights, values, run)


def resume(
    graph: Graph,
    plan: Plan,
    weights: Tensors,
    values: Tensors,
    run: Pass,
) -> Tape:
    """Runs the rest of the graph where some outputs are there already.

    Args:
      graph, plan, weights, run: as for `forward`.
      values: {node name: output} of the input nodes, or of enough others to make what
        gradients reach; these others' residuals are made as ever.
    """
    current = {**graph.weights, **weights}
    # No batch has less than one row that counts: zero, and not a constant.
    zeros = (tf.minimum(run.rows.count, 0.0), {})
    tape = Tape(graph, plan, current, run, dict(values), {}, {}, zeros)
    with zeros_from(*zeros):
        for node in _needed(graph, values, run.wants):
            value = _compute(tape, node)
            tape.values.setdefault(node.name, value)
    return tape


def _needed(graph: Graph, given: Tensors, wants: frozenset[str]) -> list[Node]:
    """Returns the nodes to run, in order: not those that only given ones read."""
    found, read = [], {graph.output.name}
    for node in reversed(graph.nodes):
        if node.name in wants or node.name in read - given.keys():
            found.append(node)
            read.update(node.inputs)
    return found[::-1]


def _compute(tape: Tape, node: Node) -> tf.Tensor:
    """Returns a node's output; notes on the tape what backward and the state need."""
    with tf.name_scope(scope("forward", node)):
        weights = _weights(node, {**tape.weights, **tape.moved})
        output = tape.plan[node.name].forward(
            Site(node, weights, tape.run), [tape.values[name] for name in node.inputs]
        )
    tape.moved.update({node.weights[k]: v for k, v in output.moved.items()})
    if node.name in tape.run.wants:
        tape.residuals[node.name] = output.residual
    return output.value


def total(parts: Sequence[Gradient]) -> Gradient:
    """Returns the sum of the gradients that meet at a fan-out."""
    if len(parts) == 1:
        return parts[0]
    return Gradient.of(functools.reduce(operator.add, [p.dense() for p in parts]))


def scope(direction: str, node: Node) -> str:
    """Returns the name scope by which the op audit finds an op's Keras layer."""
    return f"{direction}/{scope_name(node)}/"


def scope_name(node: Node) -> str:
    """Returns the Keras layer's name as a name scope can hold it."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", node.layer)


def _weights(node: Node, weights: Mapping) -> dict:
    return {role: weights[name] for role, name in node.weights.items()}
