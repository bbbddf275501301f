"""The frozen part of a graph in int8: fake quantization that the converter reads.

Ranges of activations are given; those of weights are the weights' own. TensorFlow's
fake-quant ops round to the 256 steps of a range, and the converter makes int8 ops of
what stands between them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import fold, plan, rows, tape
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import Lowering, Output, Pass, Rows, Site
from tflite_odl.builtin.serving import FAMILIES

Range = tuple[float, float]

# Layers whose weights become int8 where what they read and give has a range.
WEIGHTED = ("conv2d", "depthwise", "dense")
# Ops whose int8 kernels have one range for what they read and give.
MOVES = (
    "average_pool",
    "max_pool",
    "reshape",
    "permute",
    "slice",
    "zero_pad",
    "zero_pad_1d",
    "global_max_pool",
    "dropout",
)
# The smallest range of a weight: below it the converter sets scales of its own.
LEAST = 1e-6
# Half of what int32, in which biases are held, reaches.
MOST_BIAS = 2.0**30


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


def nudged(low: float, high: float) -> Range:
    """Returns the range moved by less than a step, so that 0 is one of its 256 values.

    TensorFlow and the converter would do it, too, but a zero point that is a half, as
    of -1 to 1, they round to different sides.
    """
    step = (high - low) / 255
    below = float(np.floor(-low / step + 0.5))
    return -below * step, (255 - below) * step


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
    """

    graph: Graph
    ranges: Mapping[str, Range]
    ends: Mapping[str, str]
    alone: bytes = b""

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
        found = cls(folded.graph, given, {name: now[name] for name in parts.ends})
        averages = [n for n in folded.graph.nodes if n.op == "average_pool"]
        for node in averages:  # it rounds, to the steps of what it reads
            if (known := found.range_of(node.inputs[0])) is not None:
                given[node.name] = known
        return found

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
        """Returns what `values` does, of any rows.

        A row that is not finite comes out as NaN: to be quantized would make ordinary
        numbers of it.

        Args:
          x: one [B, ...] float32 for each input node.
        """
        good = tf.ones([x[0].shape[0]], tf.bool)
        clean = []
        for one in x:
            fine = rows.within(one, -rows.LARGEST, rows.LARGEST)
            good = tf.logical_and(good, fine)
            clean.append(tf.where(_beside(fine, one), one, 0.0))
        spoiled = tf.where(good, 0.0, np.float32(np.nan))
        values = self.values(clean)
        return {n: value + _beside(spoiled, value) for n, value in values.items()}

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
            _within(one, self.ranges.get(node.name))
            for one, node in zip(x, self.graph.inputs, strict=True)
        ]

    def lowerings(self) -> dict[str, Lowering]:
        """Returns {node: how it is run}."""
        int8 = self._int8
        return {
            node.name: Quantized(
                FAMILIES.get(node.op) or plan.candidates(self.graph, node)[0],
                self.ranges.get(node.name),
                self.step(node.inputs[0]) if node.name in int8 else None,
            )
            for node in self.graph.nodes
            if node.op != "input"
        }

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
        return (high - low) / 255

    def everything(self) -> Backbone:
        """Returns the same backbone that gives all it knows a range of, for proofs."""
        return dataclasses.replace(self, ends={name: name for name in self.ranges})


class Quantized(Lowering):
    """Another lowering, its kernel and its output on the steps of their ranges.

    Args:
      inner: the lowering.
      known: range of the output, None if it has none.
      source: step of the input, where the kernel is to be int8.
    """

    def __init__(
        self, inner: Lowering, known: Range | None, source: float | None
    ) -> None:
        self.inner, self.name = inner, inner.name
        self.known, self.source = known, source

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        if self.source is not None:
            kernel, bias = site.weights["kernel"], site.weights.get("bias")
            kernel = quantized_kernel(site.node.op, kernel, bias, self.source)
            site = dataclasses.replace(site, weights={**site.weights, "kernel": kernel})
        return Output(_within(self.inner.forward(site, inputs).value, self.known))


def quantized_kernel(
    op: str, kernel: np.ndarray, bias: np.ndarray | None, source: float
) -> tf.Tensor:
    """Returns a kernel on 255 steps around 0: one scale per output channel, of a dense
    layer one for all (the converter takes no others there).

    Depthwise kernels [h, w, C, M] are quantized as [h, w, C M]: in their own shape the
    converter would give all channels one scale. A bias is held in steps of kernel times
    input: where a channel's weights are next to nothing they get a wider range, so that
    its bias is not clipped without a word.

    Args:
      op: of the node.
      kernel: float32.
      bias: [C] float32, or None.
      source: step of the input.
    """
    shape = kernel.shape
    flat = kernel.reshape(*shape[:2], -1) if op == "depthwise" else kernel
    high = np.abs(flat).reshape(-1, flat.shape[-1]).max(0)
    if bias is not None:
        high = np.maximum(high, 127 * np.abs(bias) / np.float64(source * MOST_BIAS))
    high = np.maximum(high, LEAST).astype(np.float32)
    if op == "dense":
        most = float(high.max())
        quantize = tf.quantization.fake_quant_with_min_max_args
        return quantize(kernel, -most, most, 8, narrow_range=True)
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -high, high, 8, narrow_range=True
    )
    return tf.reshape(flat, shape)


def _within(x: tf.Tensor, known: Range | None) -> tf.Tensor:
    if known is None:
        return x
    return tf.quantization.fake_quant_with_min_max_args(x, *known, 8)


def _beside(mask: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(mask, [-1] + [1] * (x.shape.rank - 1))
