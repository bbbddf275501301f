"""A layer graph -> the same graph with quantizers on some of its layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.graph import Graph, Node, reachable
from tflite_odl.builtin.quantizers import clipping
from tflite_odl.builtin.quantizers.weights import (
    CLIP,
    OPS,
    QUANTIZER,
    WeightQuantizer,
    clip_shape,
    summed_axes,
)
from tflite_odl.errors import ModelError

# Where the trained range of rounded activations begins.
FIRST_RANGE = 4.0
# Ops that hand on values, or the largest or the mean of some, sign and all.
PASSIVE = (
    "average_pool",
    "average_pool1d",
    "global_average_pool",
    "global_average_pool1d",
    "global_max_pool",
    "global_max_pool1d",
    "max_pool",
    "max_pool1d",
    "permute",
    "repeat",
    "reshape",
    "slice",
    "upsample_nearest",
    "zero_pad",
    "zero_pad_1d",
)
NOT_NEGATIVE = ("relu", "sigmoid", "softmax", "softplus", "exponential", "hard_sigmoid")


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How a layer is quantized.

    Attributes:
      weights: of its kernel; None leaves it real.
      activations: bits of what it reads: 1 takes signs, None leaves it real.
    """

    weights: WeightQuantizer | None = None
    activations: int | None = None


def quantized(graph: Graph, schemes: Mapping[str, Scheme]) -> Graph:
    """Returns the graph with quantized kernels, and nodes that quantize what they read.

    Signs are taken of what a relu reads, not of what it makes, which has no sign.

    Args:
      graph: of the real-valued model.
      schemes: by the name of a node with a kernel.

    Raises:
      ModelError: signs are asked for of values that are never negative.
    """
    return _Rewriter(graph, schemes).graph()


class _Rewriter:
    """Collects the nodes of the quantized graph and its new weights."""

    def __init__(self, graph: Graph, schemes: Mapping[str, Scheme]) -> None:
        self.old, self.schemes = graph, schemes
        self.nodes: dict[str, Node] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.learning: dict[str, None] = {}

    def graph(self) -> Graph:
        for node in self.old.nodes:
            scheme = self.schemes.get(node.name)
            if scheme and node.op in OPS:
                node = self._quantized(node, scheme)
            self.nodes[node.name] = node
        return dataclasses.replace(
            self.old,
            nodes=reachable(self.nodes, self.old.output.name),
            weights={**self.old.weights, **self.weights},
            trainable=(*self.old.trainable, *self.learning),
        )

    def _quantized(self, node: Node, scheme: Scheme) -> Node:
        kernel = node.weights["kernel"]
        if scheme.activations is not None:
            source = self._activation(node, scheme.activations, kernel)
            node = dataclasses.replace(node, inputs=(source,))
        if scheme.weights is None:
            return node
        attributes = {**node.attributes, QUANTIZER: scheme.weights}
        weights = dict(node.weights)
        if scheme.weights.clipping == "trained":
            value, name = self.old.weights[kernel], f"{kernel}_clip"
            bounds = clipping.initial(value, summed_axes(node, value.ndim))
            bounds = bounds.reshape(clip_shape(node, value.shape))
            weights[CLIP] = self._weight(name, bounds, node)
        return dataclasses.replace(node, attributes=attributes, weights=weights)

    def _activation(self, node: Node, bits: int, kernel: str) -> str:
        """Adds the node that quantizes what a layer reads; returns its name."""
        (source,) = node.inputs
        name, positive = f"{node.name}/quantized", self._never_negative(source)
        if bits == 1:
            source, op, attributes, weights = self._signed(source, node), "sign", {}, {}
        else:
            first = np.full([1], FIRST_RANGE, np.float32)
            range_name = kernel.removesuffix("_kernel") + "_input_range"
            weights = {"range": self._weight(range_name, first, node)}
            op, attributes = "rounded", {"bits": bits, "signed": not positive}
        shape = self.nodes[source].shape
        added = Node(name, op, (source,), shape, node.layer, attributes, weights)
        learns = bool(weights) and node.trainable
        self.nodes[name] = dataclasses.replace(added, trainable=learns)
        return name

    def _weight(self, name: str, value: np.ndarray, node: Node) -> str:
        self.weights[name] = value
        if node.trainable:
            self.learning[name] = None
        return name

    def _never_negative(self, name: str) -> bool:
        node = self.nodes[name]
        inner = [self._never_negative(one) for one in node.inputs]
        if node.op in (*PASSIVE, "concatenate", "dropout", "multiply"):
            return all(inner)
        if node.op == "add":
            factors = node.attributes.get("factors", (1.0,) * len(inner))
            return all(inner) and min(factors) > 0
        return node.op in NOT_NEGATIVE

    def _signed(self, name: str, reader: Node) -> str:
        """Returns the node by which values still have their sign."""
        if not self._never_negative(name):
            return name
        node = self.nodes[name]
        if node.op == "relu":
            return self._signed(node.inputs[0], reader)
        if node.op not in PASSIVE:
            raise ModelError(
                f"layer {reader.layer!r} reads what is never negative (of layer "
                f"{node.layer!r}), and all its signs are +1: put a batch norm before "
                "it, or give its activations 2 bits or more"
            )
        source = self._signed(node.inputs[0], reader)
        copy = f"{name}/signed"
        self.nodes[copy] = dataclasses.replace(node, name=copy, inputs=(source,))
        return copy
