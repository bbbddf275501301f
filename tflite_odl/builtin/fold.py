"""Folds batch norms into the layers before them: a layer graph made ready to serve."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Collection, Mapping

import numpy as np

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.quantizers.activations import count
from tflite_odl.builtin.quantizers.weights import CLIP, QUANTIZER, unquantized
from tflite_odl.folding import BIAS, KERNEL, Formula, Step
from tflite_odl.leveling import Levels, Range

# Axes of the kernel that its output channels run over, counted from the end.
CHANNEL_AXES = {
    "dense": (-1,),
    "conv1d": (-1,),
    "conv2d": (-1,),
    "depthwise": (-2, -1),
    "depthwise1d": (-2, -1),
    "conv1d_transpose": (-2,),
    "conv2d_transpose": (-2,),
}
# x scale + offset over the last axis: what a norm is that nothing takes in.
SCALE_SHIFT = "scale_shift"
# Activations as whole numbers; the layer that reads them has their step in its kernel.
ROUNDED_FIXED = "rounded_fixed"


@dataclasses.dataclass(frozen=True)
class Folded:
    """A graph for inference, and where each of its weights comes from.

    Attributes:
      graph: frozen, without batch norms.
      formulas: {weight of `graph`: how it is made of `sources`}.
      sources: {name: array}, the weights of the graph before.
      alias: {node that was folded: node that now gives its output}.
    """

    graph: Graph
    formulas: Mapping[str, Formula | Range]
    sources: Mapping[str, np.ndarray]
    alias: Mapping[str, str]

    def values(self, weights: Mapping[str, np.ndarray] | None = None) -> dict:
        """Returns {weight of `graph`: value}, of other sources where they are given."""
        sources = {**self.sources, **(weights or {})}
        return {name: f.value(sources) for name, f in self.formulas.items()}


def folded(graph: Graph, kept: Collection[str] = ()) -> Folded:
    """Returns the graph frozen whole, with what scales channels folded.

    Args:
      graph: the model, or a part of it.
      kept: names of nodes whose output something else reads, too.

    Batch norms, learnt scales and constant factors go into the convolution or dense
    layer before them where nothing else reads it, one after the other. A batch norm
    that stands elsewhere becomes `scale_shift`.
    """
    return _Folder(graph.frozen(), kept).run()


class _Folder:
    def __init__(self, graph: Graph, kept: Collection[str]) -> None:
        self.graph, self.sources = graph, dict(graph.weights)
        self.readers = collections.Counter(n for m in graph.nodes for n in m.inputs)
        self.readers.update(kept)
        self.nodes: dict[str, Node] = {}
        self.steps: dict[str, list[Step]] = {}
        # {node that was folded: the node that gives its output now}
        self.alias: dict[str, str] = {}
        self.formulas: dict[str, Formula | Range] = {}

    def run(self) -> Folded:
        for node in self.graph.nodes:
            self._take(node)
        nodes = tuple(map(self._finished, self.nodes.values()))
        last = self.alias.get(self.graph.output.name, self.graph.output.name)
        nodes = tuple(sorted(nodes, key=lambda node: node.name == last))
        values = {n: f.value(self.sources) for n, f in self.formulas.items()}
        return Folded(Graph(nodes, values), self.formulas, self.sources, self.alias)

    def _take(self, node: Node) -> None:
        inputs = tuple(self.alias.get(name, name) for name in node.inputs)
        step = self._step(node)
        if step is not None and self._takes_in(node, inputs[0]):
            self.steps[inputs[0]].append(step)
            self.alias[node.name] = inputs[0]
            return
        node = dataclasses.replace(node, inputs=inputs)
        self.nodes[node.name] = node
        if node.op in CHANNEL_AXES:
            self.steps[node.name] = []
        elif node.op == "batch_norm":
            self.steps[node.name] = [step]

    def _takes_in(self, node: Node, before: str) -> bool:
        """Whether the node before may scale its output: nothing else reads it."""
        return before in self.steps and self.readers[node.inputs[0]] == 1

    def _step(self, node: Node) -> Step | None:
        """Returns what a node does to channels, None where it does something else."""
        if node.op in STEPS:
            return STEPS[node.op](node, self.sources)
        return None

    def _finished(self, node: Node) -> Node:
        if node.op == "rounded":
            return self._rounded(node)
        if node.name not in self.steps:
            for name in node.weights.values():
                shape = self.sources[name].shape
                self.formulas[name] = Formula(KERNEL, name, None, (-1,), shape[-1])
            return node
        steps, axes = tuple(self.steps[node.name]), CHANNEL_AXES.get(node.op, (-1,))
        norm = node.op == "batch_norm"
        kernel = None if norm else node.weights["kernel"]
        bias = None if norm else node.weights.get("bias")
        roles = ("scale", "offset") if norm else ("kernel", "bias")
        parts = [KERNEL, BIAS] if bias is not None or steps else [KERNEL]
        plain = Formula(KERNEL, kernel, bias, axes, node.shape[-1], steps)
        formulas = {
            KERNEL: dataclasses.replace(
                plain, levels=_levels(node), reads=self._reads(node)
            ),
            BIAS: dataclasses.replace(plain, part=BIAS),
        }
        weights = {
            role: self._named(formulas[part], node) for role, part in zip(roles, parts)
        }
        op = SCALE_SHIFT if norm else node.op
        return dataclasses.replace(unquantized(node), op=op, weights=weights)

    def _rounded(self, node: Node) -> Node:
        """Returns the node that rounds, what its range comes to being its weights."""
        name, n = node.weights["range"], count(node)
        weights = {}
        low = ("low",) if node.attributes["signed"] else ()
        for part in (*low, "high", "per_step"):
            weights[part] = f"{node.name}/{part}"
            self.formulas[weights[part]] = Range(part, name, n)
        return dataclasses.replace(node, op=ROUNDED_FIXED, weights=weights)

    def _reads(self, node: Node) -> Range | None:
        """Returns the step of the whole numbers that a layer reads, if it does."""
        before = self.nodes.get(node.inputs[0])
        if before is None or before.op != "rounded":
            return None
        return Range("step", before.weights["range"], count(before))

    def _named(self, formula: Formula, node: Node) -> str:
        """Returns the name of a formula's value; equal ones are one weight."""
        for name, known in self.formulas.items():
            if known == formula:
                return name
        own = formula.kernel if formula.part == KERNEL else formula.bias
        changed = formula.steps or formula.levels or formula.reads
        name = own if own and not changed else f"{node.name}/{formula.part}"
        number, unique = 1, name
        while unique in self.formulas:
            number += 1
            unique = f"{name}_{number}"
        self.formulas[unique] = formula
        return unique


def _levels(node: Node) -> Levels | None:
    quantizer = node.attributes.get(QUANTIZER)
    if quantizer is None:
        return None
    clip = node.weights.get(CLIP)
    return Levels(quantizer.kind, quantizer.clipping, quantizer.bits, clip)


def _batch_norm(node: Node, sources: dict) -> Step:
    weights = node.weights
    return Step(
        weights.get("gamma"),
        weights.get("beta"),
        weights["moving_mean"],
        weights["moving_variance"],
        node.attributes["epsilon"],
    )


def _scale(node: Node, sources: dict) -> Step:
    return Step(scale=node.weights["gamma"])


def _affine(node: Node, sources: dict) -> Step | None:
    """Returns constants as weights of their own, None where they differ by place."""
    found = {}
    for role in ("scale", "offset"):
        value = node.attributes.get(role)
        if value is None:
            continue
        value = np.asarray(value, np.float32)
        if value.size not in (1, value.shape[-1] if value.ndim else 1):
            return None
        found[role] = f"{node.name}/{role}"
        sources[found[role]] = np.broadcast_to(value.reshape(-1), node.shape[-1:])
    return Step(**found)


STEPS: dict[str, Callable[[Node, dict], Step | None]] = {
    "batch_norm": _batch_norm,
    "scale": _scale,
    "affine": _affine,
}
