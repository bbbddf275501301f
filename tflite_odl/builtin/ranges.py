"""Which nodes of a folded graph compute in int8, and where that takes a range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from tflite_odl.builtin.fake_quant import FIXED
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.quantized import MOVES, WEIGHTED

# Ops with int8 kernels, beside those that only move.
INT8 = (
    *WEIGHTED,
    "relu",
    "add",
    "multiply",
    "concatenate",
    "global_average_pool",
    "global_average_pool1d",
    "sigmoid",
    "silu",
)
# What takes a relu behind it into its own op, without a range between.
FUSING = (*WEIGHTED, "add", "multiply")
# What is never below 0.
POSITIVE = ("relu", "sigmoid")


@dataclasses.dataclass(frozen=True)
class Places:
    """What of a graph is int8.

    Attributes:
      int8: names of the nodes that compute in int8, those that move left out.
      ranged: names of the nodes whose output has a range, in the graph's order.
      layers: names of the layers whose weights become int8.
      float_layers: of those whose weights stay float.
      int8_products: multiply-adds of one row in int8.
      products: of one row in all.
    """

    int8: tuple[str, ...]
    ranged: tuple[str, ...]
    layers: tuple[str, ...]
    float_layers: tuple[str, ...]
    int8_products: int
    products: int


def places(graph: Graph) -> Places:
    """Returns what of a folded graph is int8, if all that can be is."""
    nodes = {node.name: node for node in graph.nodes}
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    int8 = [node for node in graph.nodes if _has_kernel(node)]
    ranged: set[str] = set()

    def need(name: str) -> None:
        if nodes[name].op in MOVES:
            for before in nodes[name].inputs:
                need(before)
        else:
            ranged.add(name)

    for node in int8:
        for name in node.inputs:
            if not _fused(nodes[name], readers):
                need(name)
        if not _fused(node, readers):
            ranged.add(node.name)
    weighted = [node for node in graph.nodes if node.weights]
    names = {node.name for node in int8}
    return Places(
        tuple(node.name for node in int8),
        tuple(node.name for node in graph.nodes if node.name in ranged),
        tuple(n.layer for n in weighted if n.name in names),
        tuple(n.layer for n in weighted if n.name not in names),
        sum(_products(graph, n) for n in weighted if n.name in names),
        sum(_products(graph, n) for n in weighted),
    )


def positive(graph: Graph, name: str) -> bool:
    """Whether a node's output is never below 0."""
    return graph.node(name).op in POSITIVE


def fixed(graph: Graph, names: tuple[str, ...]) -> Mapping[str, tuple[float, float]]:
    """Returns {node: range} of those whose kernels have one of their own."""
    ops = {node.name: node.op for node in graph.nodes}
    return {name: FIXED[ops[name]] for name in names if ops[name] in FIXED}


def _has_kernel(node: Node) -> bool:
    if node.op in ("add", "multiply"):
        factors = node.attributes.get("factors", (1.0, 1.0))
        # Of more inputs the sums in between would have no range.
        return len(node.inputs) == 2 and set(factors) == {1.0}
    return node.op in INT8


def _fused(node: Node, readers: Mapping[str, list[Node]]) -> bool:
    """Whether the node's output is only seen through what reads it: a relu that its op
    takes in, or a concatenation, whose parts have the range of the whole."""
    after = readers.get(node.name, [])
    if len(after) != 1 or not _has_kernel(node):
        return False
    if node.op in FUSING and after[0].op == "relu":
        return True
    return node.op in (*WEIGHTED, "relu") and after[0].op == "concatenate"


def _products(graph: Graph, node: Node) -> int:
    """Returns a node's multiply-adds of one row."""
    shapes = [graph.weights[name].shape for name in node.weights.values()]
    kernel = max(shapes, key=math.prod)
    if node.op == "dense":
        return math.prod(kernel) * math.prod(node.shape[:-1])
    if len(kernel) < 2:
        return math.prod(node.shape)
    if node.op.endswith("transpose"):
        return math.prod(kernel) * math.prod(graph.input_shapes(node)[0][:-1])
    return math.prod(kernel) * math.prod(node.shape[:-1])
