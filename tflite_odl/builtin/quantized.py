"""A graph, or its frozen part, in int8: fake quantization that the converter reads.

Ranges of activations are given; those of weights are the weights' own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import fake_quant, fold, serving, tape
from tflite_odl.builtin.fake_quant import Quantized, within
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.judged import judged
from tflite_odl.builtin.lowering import Lowering, Pass, Rows
from tflite_odl.quantizing import STEPS, Range, nudged

# Layers whose weights become int8 where what they read and give has a range.
WEIGHTED = tuple(fake_quant.SCALE_AXES)
# Ops whose int8 kernels have one range for what they read and give; averages round.
AVERAGES = ("average_pool", "average_pool1d")
MOVES = (
    *AVERAGES,
    "max_pool",
    "max_pool1d",
    "reshape",
    "permute",
    "slice",
    "zero_pad",
    "zero_pad_1d",
    "global_max_pool",
    "global_max_pool1d",
    "dropout",
)


@dataclasses.dataclass(frozen=True)
class Split:
    """A graph in two: what is frozen from its inputs on, and what reads it.

    Attributes:
      front: the frozen nodes that are needed, inputs first.
      ends: names of the front's nodes that the tail reads.
      tail: the other nodes; what they read of the front is an input there, first.
    """

    front: Graph
    ends: tuple[str, ...]
    tail: Graph


def split(graph: Graph) -> Split:
    """Returns the graph cut where gradients end."""
    learns = graph.differentiated()
    behind = [node for node in graph.nodes if node.name in learns]
    read = {name for node in behind for name in node.inputs}
    front = [n for n in graph.nodes if n.name not in learns]
    ends = tuple(n.name for n in front if n.name in read and n.op != "input")
    inputs = [
        dataclasses.replace(n, op="input", inputs=(), weights={}, attributes={})
        for n in front
        if n.name in read
    ]
    return Split(
        Graph(tuple(front), _weights(graph, front)),
        ends,
        dataclasses.replace(
            graph, nodes=(*inputs, *behind), weights=_weights(graph, behind)
        ),
    )


def source(graph: Graph, name: str) -> str:
    """Returns the name of the node whose range a node's output has, if it has any."""
    node = graph.node(name)
    while node.op in MOVES:
        node = graph.node(node.inputs[0])
    return node.name


def _weights(graph: Graph, nodes: Sequence[Node]) -> dict[str, np.ndarray]:
    names = {name for node in nodes for name in node.weights.values()}
    return {name: v for name, v in graph.weights.items() if name in names}


@dataclasses.dataclass(frozen=True)
class Backbone:
    """The frozen part of a network, computing in int8 wherever ranges are known.

    Attributes:
      graph: folded.
      ranges: {node of it: (low, high)} of its output, inputs among them.
      ends: {node of the network: node of `graph`}, what the rest of the network reads.
      alone: a `.tflite` of it by itself, by which a proof knows its int8 outputs.
      whole: whether it is all of a serving twin: its ranges are written into the file
        afterwards, so that no constant may hold one.
    """

    graph: Graph
    ranges: Mapping[str, Range]
    ends: Mapping[str, str]
    alone: bytes = b""
    whole: bool = False

    @classmethod
    def all_of(cls, graph: Graph, ranges: Mapping[str, Range]) -> Backbone:
        """Returns a folded graph as a whole; see `ranges.places` for what needs one.

        Args:
          graph: folded.
          ranges: {node of it: range of its output}.
        """
        given = {name: nudged(*known) for name, known in ranges.items()}
        end = graph.output.name
        return cls(graph, given, {end: end}, whole=True)._with_averages()

    @classmethod
    def of(cls, graph: Graph, ranges: Mapping[str, Range]) -> Backbone:
        """Returns the frozen part of a graph.

        Args:
          graph: of the network.
          ranges: {node of it: range of its output}; nodes without one stay float,
            unless they only move what has one.
        """
        parts = split(graph)
        folded = fold.folded(parts.front, parts.ends)
        now = {
            node.name: folded.alias.get(node.name, node.name)
            for node in parts.front.nodes
        }
        ops = {node.name: node.op for node in folded.graph.nodes}
        given = {
            now[name]: nudged(*known)
            for name, known in ranges.items()
            if name in now and ops[now[name]] not in MOVES
        }
        ends = {name: now[name] for name in parts.ends}
        return cls(folded.graph, given, ends)._with_averages()

    def _with_averages(self) -> Backbone:
        """Returns the same with ranges of averages: those of what they read."""
        given = dict(self.ranges)
        for node in self.graph.nodes:
            known = self.range_of(node.inputs[0]) if node.op in AVERAGES else None
            if known is not None:
                given[node.name] = known
        return dataclasses.replace(self, ranges=given)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose weights become int8."""
        return tuple(n.layer for n in self.graph.nodes if n.name in self._int8)

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Names of the layers whose weights stay float."""
        return tuple(
            n.layer for n in self.graph.nodes if n.weights and n.name not in self._int8
        )

    @property
    def _int8(self) -> frozenset[str]:
        """Names of the nodes with weights that have ranges before and behind them."""
        readers: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return frozenset(
            node.name
            for node in self.graph.nodes
            if node.op in WEIGHTED
            and all(self._known(name) for name in node.inputs)
            and self._leads_to_range(node, readers)
        )

    def _known(self, name: str) -> bool:
        return self.range_of(name) is not None

    def _leads_to_range(self, node: Node, readers: Mapping) -> bool:
        """Whether its output has a range, or that of the one activation behind it."""
        if node.name in self.ranges:
            return True
        after = readers.get(node.name, [])
        joins = ("relu", "concatenate", *MOVES)
        return (
            len(after) == 1
            and after[0].op in joins
            and self._leads_to_range(after[0], readers)
        )

    def run(self, x: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what `values` does, of any rows; one that is not finite comes out as
        NaN.

        Args:
          x: one [B, ...] float32 for each input node.
        """
        return judged(x, self.values, self.whole)

    def values(self, x: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns {node of the network: output} of what the rest of it reads.

        Args:
          x: one [B, ...] float32 for each input node, all of it finite.
        """
        inputs, lowerings = self.on_steps(x), self.lowerings()
        # Wanting all of them makes the tape run nodes that only the tail reads.
        run = Pass(False, Rows.of(tf.ones([x[0].shape[0]])), frozenset(lowerings))
        record = tape.forward(self.graph, lowerings, {}, inputs, run)
        return {name: record.value(now) for name, now in self.ends.items()}

    def on_steps(self, x: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the inputs, each rounded to the steps of its range."""
        return [
            within(one, self.ranges.get(node.name))
            for one, node in zip(x, self.graph.inputs, strict=True)
        ]

    def lowerings(self) -> dict[str, Lowering]:
        """Returns {node: how it is run}."""
        int8 = self._int8
        return {
            node.name: Quantized(
                self._lowering(node),
                self.ranges.get(node.name),
                self.step(node.inputs[0]) if node.name in int8 else None,
            )
            for node in self.graph.nodes
            if node.op != "input"
        }

    def _lowering(self, node: Node) -> Lowering:
        own = fake_quant.FAMILIES.get(node.op) if self.whole else None
        return own or serving.lowering(self.graph, node)

    def range_of(self, name: str) -> Range | None:
        """Returns the range of a node's output, that of what it moves if it has none of
        its own; None where it stays float."""
        if name in self.ranges:
            return self.ranges[name]
        node = self.graph.node(name)
        if node.op not in MOVES or not all(map(self._known, node.inputs)):
            return None
        return self.range_of(node.inputs[0])

    def step(self, name: str) -> float:
        """Returns how far two neighbouring values of a node's output are apart, 0 where
        it stays float."""
        low, high = self.range_of(name) or (0.0, 0.0)
        return (high - low) / STEPS

    def everything(self) -> Backbone:
        """Returns the same backbone that gives all it knows a range of, for proofs."""
        return dataclasses.replace(self, ends={name: name for name in self.ranges})
