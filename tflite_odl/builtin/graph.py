"""The layer graph: a Keras model as plain nodes, ready to be lowered.

Shapes leave out the batch. Weights are NumPy arrays under unique names that are also
their names in the artifact's state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_odl.contract import check_unique

if TYPE_CHECKING:
    from tflite_odl.builtin.constraints import Constraint
    from tflite_odl.builtin.penalties import Penalty

# Ops of which every gradient is 0.
NO_GRADIENT = ("mask", "one_hot", "digitize")


@dataclasses.dataclass(frozen=True)
class Node:
    """One op of the model.

    Attributes:
      name: unique; the Keras layer's name, with a suffix if the layer is several nodes.
      op: the op family that lowers it, a key of `builtin.ops.FAMILIES`.
      inputs: names of the nodes it reads.
      shape: output shape without the batch.
      layer: the Keras layer it came from, for messages and the audit.
      attributes: strides, padding, epsilon...: what the family's lowerings read.
      weights: {role: weight name}, for example {"kernel": "conv1_kernel"}.
      trainable: whether its weights learn; frozen weights become constants.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    layer: str
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trainable: bool = False


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes in topological order, the last one giving the output.

    Attributes:
      nodes: the first ones have op "input".
      weights: {name: array}, float32.
      trainable: names of the weights that gradients are taken for.
      moving: names of the weights that training moves without a gradient.
      penalties: {weight name: what it adds to the loss}, of weights that learn.
      activities: {node name: what its output adds to the loss}.
      constraints: {weight name: what it is brought to after each update}.
      frozen_penalty: what weights that do not learn add to the loss.
    """

    nodes: tuple[Node, ...]
    weights: Mapping[str, np.ndarray]
    trainable: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    penalties: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    activities: Mapping[str, Penalty] = dataclasses.field(default_factory=dict)
    constraints: Mapping[str, Constraint] = dataclasses.field(default_factory=dict)
    frozen_penalty: float = 0.0

    def __post_init__(self) -> None:
        check_unique("layers of the model", [node.name for node in self.nodes])

    def frozen(self) -> Graph:
        """Returns the same graph with nothing to train, batch norms in inference,
        without penalties."""
        return Graph(tuple(map(_frozen, self.nodes)), self.weights)

    def until(self, name: str) -> Graph:
        """Returns the part of the graph that a node needs, which is its output."""
        nodes = reachable({node.name: node for node in self.nodes}, name)
        used = {weight for node in nodes for weight in node.weights.values()}
        return Graph(
            nodes,
            {weight: v for weight, v in self.weights.items() if weight in used},
            tuple(weight for weight in self.trainable if weight in used),
            tuple(weight for weight in self.moving if weight in used),
        )

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == "input")

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    @property
    def stateful(self) -> tuple[str, ...]:
        """Names of the weights that change, in the order of `weights`."""
        changing = {*self.trainable, *self.moving}
        return tuple(name for name in self.weights if name in changing)

    @property
    def of_batches(self) -> tuple[Node, ...]:
        """The batch norms that take the batch's own statistics in training."""
        return tuple(n for n in self.nodes if n.attributes.get("statistics") == "batch")

    @property
    def least_rows(self) -> int:
        """How many rows it takes at least, so that a batch norm has two values of each
        channel: of one, the statistics say nothing and no gradient is left."""
        alone = any(math.prod(node.shape[:-1]) == 1 for node in self.of_batches)
        return 2 if alone else 1

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def input_shapes(self, node: Node) -> list[tuple[int, ...]]:
        return [self.node(name).shape for name in node.inputs]

    def differentiated(self) -> frozenset[str]:
        """Names of the nodes a gradient must reach: trainable ones and those above."""
        reached: set[str] = set()
        for node in self.nodes:
            if node.op in NO_GRADIENT:
                continue
            learns = any(name in self.trainable for name in node.weights.values())
            if learns or any(name in reached for name in node.inputs):
                reached.add(node.name)
        return frozenset(reached)


def _frozen(node: Node) -> Node:
    attributes = dict(node.attributes)
    if "statistics" in attributes:
        attributes["statistics"] = "moving"
    return dataclasses.replace(node, attributes=attributes, trainable=False)


def reachable(nodes: Mapping[str, Node], output: str) -> tuple[Node, ...]:
    """Returns the input nodes and the nodes that the output needs, in their order.

    Args:
      nodes: {name: node}.
      output: name of the node that gives the output.
    """
    needed, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += nodes[name].inputs
    return tuple(n for n in nodes.values() if n.op == "input" or n.name in needed)
