"""Runs a layer graph forward, and backward over what forward kept."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tflite_odl.builtin import chunks, penalties
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Lowering,
    Pass,
    Residual,
    Rows,
    Site,
    Tensors,
)
from tflite_odl.builtin.quantizers import weights as quantizer
from tflite_odl.builtin.zeros import zeros_from

Plan = Mapping[str, Lowering]


@dataclasses.dataclass
class Tape:
    """The record of one forward run.

    Large layers run in chunks of the batch, see `builtin.chunks`.

    Attributes:
      run: of the whole batch.
      limit: bytes of a chunk's activation; 0 sets none.
      values: {node name: its output, chunk by chunk}; given ones in any chunks.
      residuals: {node name: Residual of each chunk}, where backward goes.
      moved: {weight name: new value}, batch norms' moving statistics.
      statistics: {node name: batch norm's of the batch}, as `Pass` takes them.
      zeros: where padding comes from, see `builtin.zeros`.
    """

    graph: Graph
    plan: Plan
    weights: Tensors
    run: Pass
    limit: float
    values: dict[str, Sequence[tf.Tensor]]
    residuals: dict[str, list[Residual]] = dataclasses.field(default_factory=dict)
    moved: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Tensors] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        batch = self.run.rows.mask.shape[0]
        self.counts = chunks.counts(self.graph, batch, self.limit)
        self.passes = {n: chunks.passes(self.run, n) for n in set(self.counts.values())}
        # No batch has less than one row that counts: zero, and not a constant.
        self.zeros = (tf.minimum(self.run.rows.count, 0.0), {})

    @functools.cached_property
    def output(self) -> tf.Tensor:
        """The graph's output, [B, ...]."""
        return self.value(self.graph.output.name)

    def value(self, name: str) -> tf.Tensor:
        """Returns a node's output, [B, ...]."""
        return chunks.fitted(self.values[name], 1)[0]

    def residual(self, name: str, role: str) -> tf.Tensor:
        """Returns rows that a node kept, [B, ...]."""
        return chunks.fitted([r.rows[role] for r in self.residuals[name]], 1)[0]

    def activities(self, rows: Rows) -> list[tf.Tensor]:
        """Returns the penalty on each output that has one, [1], over some rows."""
        return [
            penalties.of_activity(penalty, self.value(name), rows)
            for name, penalty in self.graph.activities.items()
        ]

    def backward(self, gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns {weight name: gradient} for the graph's trainable weights.

        Args:
          gradient: [B, ...], of the loss with respect to the output; the penalties on
            activations are added, those on weights are not.
        """
        with zeros_from(*self.zeros):
            return self._backward(gradient)

    def _backward(self, gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        waiting: dict[str, list[list[Gradient]]] = {}
        self._pass_on(self.graph.output.name, [Gradient.of(gradient)], waiting)
        found: dict[str, list[tf.Tensor]] = {}
        for node in reversed(self.graph.nodes):
            if node.name not in self.run.wants or node.name not in waiting:
                continue
            with tf.name_scope(scope("backward", node)):
                parts = zip(*waiting.pop(node.name), strict=True)
                gradients = self._steeper(node, [total(chunk) for chunk in parts])
                self._visit(node, gradients, waiting, found)
        return {name: functools.reduce(operator.add, g) for name, g in found.items()}

    def _steeper(self, node: Node, gradients: list[Gradient]) -> list[Gradient]:
        """Returns the gradients of a node's output with that of its penalty."""
        penalty = self.graph.activities.get(node.name)
        if penalty is None:
            return gradients
        count = self.counts[node.name]
        values = chunks.fitted(self.values[node.name], count)
        return [
            Gradient.of(one.dense() + penalties.activity_slope(penalty, x, run.rows))
            for one, x, run in zip(gradients, values, self.passes[count], strict=True)
        ]

    def sites(self, node: Node, weights: Mapping) -> list[Site]:
        """Returns where a node's lowering works, chunk by chunk.

        A kernel with a quantizer is quantized on its way in.
        """
        own = quantizer.forward(node, self.own(node, weights))
        return [Site(node, own, run) for run in self.passes[self.counts[node.name]]]

    def own(self, node: Node, weights: Mapping) -> dict:
        """Returns a node's weights by role, as they are in the state."""
        return {role: weights[name] for role, name in node.weights.items()}

    def _visit(
        self, node: Node, gradients: list[Gradient], waiting: dict, found: dict
    ) -> None:
        sites, residuals = self.sites(node, self.weights), self.residuals[node.name]
        lowering = self.plan[node.name]
        visited = lowering.backward_chunks(sites, residuals, gradients)
        for name, *parts in zip(
            node.inputs, *(chunk.inputs for chunk in visited), strict=True
        ):
            if parts[0] is not None and name in self.run.wants:
                self._pass_on(name, parts, waiting)
        for gradients in self._of_weights(node, [chunk.weights for chunk in visited]):
            for role, part in gradients.items():
                if node.weights[role] in self.graph.trainable:
                    found.setdefault(node.weights[role], []).append(part)

    def _of_weights(self, node: Node, chunks: list[Tensors]) -> list[Tensors]:
        """Returns the gradients of a node's weights; those of a quantized kernel are
        summed first, and taken back through the quantizer."""
        if quantizer.QUANTIZER not in node.attributes:
            return chunks
        sums = {
            role: functools.reduce(operator.add, [chunk[role] for chunk in chunks])
            for role in chunks[0]
        }
        return [quantizer.backward(node, self.own(node, self.weights), sums)]

    def _pass_on(self, name: str, parts: list[Gradient], waiting: dict) -> None:
        """Hands a node one gradient of its output, in its own chunks."""
        count = self.counts[name]
        if len(parts) != count:
            # The scale, of channels, is the same in all chunks.
            scale = parts[0].scale
            values = chunks.fitted([part.full().value for part in parts], count)
            parts = [Gradient(value, tuple(value.shape), scale) for value in values]
        waiting.setdefault(name, []).append(parts)


def forward(
    graph: Graph,
    plan: Plan,
    weights: Tensors,
    inputs: Sequence[tf.Tensor],
    run: Pass,
    limit: float = 0.0,
) -> Tape:
    """Runs the graph on its inputs and returns the record of it.

    Args:
      graph: the model.
      plan: {node name: lowering}.
      weights: {weight name: tensor} for the weights that change; the others are taken
        from the graph as constants.
      inputs: one [B, ...] float32 for each input node.
      run: training or not, which rows count, which gradients will be wanted.
      limit: bytes of an activation above which a layer runs in chunks of the batch; 0
        sets none.
    """
    values = {n.name: [x] for n, x in zip(graph.inputs, inputs, strict=True)}
    return resume(graph, plan, weights, values, run, limit)


def resume(
    graph: Graph,
    plan: Plan,
    weights: Tensors,
    values: Mapping[str, Sequence[tf.Tensor]],
    run: Pass,
    limit: float = 0.0,
) -> Tape:
    """Runs the rest of the graph where some outputs are there already.

    Args:
      graph, plan, weights, run, limit: as for `forward`.
      values: {node name: output, in any chunks} of the input nodes, or of enough others
        to make what gradients reach; these others' residuals are made as ever.
    """
    tape = Tape(graph, plan, {**graph.weights, **weights}, run, limit, dict(values))
    with zeros_from(*tape.zeros):
        for node in _needed(graph, values, run.wants):
            found = _compute(tape, node)
            tape.values.setdefault(node.name, found)
    return tape


def _needed(graph: Graph, given: Mapping, wants: frozenset[str]) -> list[Node]:
    """Returns the nodes to run, in order: not those that only given ones read."""
    found, read = [], {graph.output.name}
    for node in reversed(graph.nodes):
        if node.name in wants or node.name in read - given.keys():
            found.append(node)
            read.update(node.inputs)
    return found[::-1]


def _compute(tape: Tape, node: Node) -> list[tf.Tensor]:
    """Returns a node's output; notes on the tape what backward and the state need."""
    with tf.name_scope(scope("forward", node)):
        sites = tape.sites(node, {**tape.weights, **tape.moved})
        inputs = [chunks.fitted(tape.values[n], len(sites)) for n in node.inputs]
        by_chunk = list(zip(*inputs, strict=True))
        outputs = tape.plan[node.name].forward_chunks(sites, by_chunk)
    for output in outputs:
        tape.moved.update({node.weights[k]: v for k, v in output.moved.items()})
    if "mean" in outputs[0].residual.shared:
        tape.statistics[node.name] = outputs[0].residual.shared
    if node.name in tape.run.wants:
        tape.residuals[node.name] = [output.residual for output in outputs]
    return [output.value for output in outputs]


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
