"""One node by itself, forward and backward: what cost model and tuner look at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import Gradient, Lowering, Pass, Rows, Site
from tflite_odl.builtin.quantizers.weights import unquantized
from tflite_odl.builtin.zeros import zero_of, zeros_from

# Rows of the batch a node is judged at.
BATCH = 16


@dataclasses.dataclass(frozen=True)
class Isolated:
    """A node, the shapes of what it reads, and which gradients it has to give.

    Two nodes with equal `key` cost the same.

    Attributes:
      node: of a layer graph.
      inputs: shapes without the batch.
      weights: {role: array}.
      wanted: for each input, whether its gradient is wanted.
    """

    node: Node
    inputs: tuple[tuple[int, ...], ...]
    weights: dict[str, np.ndarray]
    wanted: tuple[bool, ...]

    @classmethod
    def of(cls, graph: Graph, node: Node) -> Isolated:
        reached, node = graph.differentiated(), unquantized(node)
        return cls(
            node,
            tuple(graph.input_shapes(node)),
            {role: graph.weights[name] for role, name in node.weights.items()},
            tuple(name in reached for name in node.inputs),
        )

    @functools.cached_property
    def key(self) -> tuple:
        weights = sorted((role, value.shape) for role, value in self.weights.items())
        attributes = sorted((k, str(v)) for k, v in self.node.attributes.items())
        trainable = self.node.trainable
        return (
            *(self.node.op, self.inputs, tuple(weights), tuple(attributes)),
            *(trainable, self.wanted),
        )

    def shapes(self) -> list[tuple[int, ...]]:
        """Returns the shapes `traced` takes: inputs, gradient, weights that learn."""
        shapes = [(BATCH, *shape) for shape in (*self.inputs, self.node.shape)]
        learning = self.weights.values() if self.node.trainable else ()
        return [*shapes, *(value.shape for value in learning)]

    def traced(self, lowering: Lowering):
        """Returns the concrete function of forward and backward by a lowering."""
        specs = [tf.TensorSpec(shape, tf.float32) for shape in self.shapes()]
        step = tf.function(
            lambda *tensors: self._step(lowering, tensors),
            input_signature=specs,
            autograph=False,
        )
        return step.get_concrete_function()

    def _step(self, lowering: Lowering, tensors: Sequence[tf.Tensor]) -> list:
        count = len(self.inputs)
        xs, dy, learning = tensors[:count], tensors[count], tensors[count + 1 :]
        weights = {
            role: tf.constant(value, tf.float32) for role, value in self.weights.items()
        }
        weights |= dict(zip(self.weights, learning))
        reached = {n for n, want in zip(self.node.inputs, self.wanted) if want}
        run = Pass(
            True, Rows.of(tf.ones([BATCH])), frozenset({*reached, self.node.name})
        )
        site = Site(self.node, weights, run)
        with zeros_from(zero_of(dy), {}):
            (output,) = lowering.forward_chunks([site], [xs])
            residuals, gradients = [output.residual], [Gradient.of(dy)]
            (found,) = lowering.backward_chunks([site], residuals, gradients)
        gradients = [g.dense() for g in found.inputs if g is not None]
        return [output.value, *gradients, *found.weights.values()]
