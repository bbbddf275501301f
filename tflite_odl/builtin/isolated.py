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
# The state that dropout is drawn from.
RANDOM = (1, 0)


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

    def shapes(self, rows: int = BATCH) -> list[tuple[int, ...]]:
        """Returns the shapes `traced` takes: inputs, gradient, weights that learn."""
        shapes = [(rows, *shape) for shape in (*self.inputs, self.node.shape)]
        learning = self.weights.values() if self.node.trainable else ()
        return [*shapes, *(value.shape for value in learning)]

    def traced(self, lowering: Lowering, rows: int = BATCH, masked: int = 0):
        """Returns the concrete function of forward and backward by a lowering.

        Args:
          lowering: supports the node.
          rows: of the batch.
          masked: so many of them, the last ones, do not count: their part of the
            gradient is 0.
        """
        specs = [
            tf.TensorSpec(shape, tf.float32, name=f"in{k}")
            for k, shape in enumerate(self.shapes(rows))
        ]
        mask = (np.arange(rows) < rows - masked).astype(np.float32)
        step = tf.function(
            lambda *tensors: self._step(lowering, tensors, mask),
            input_signature=specs,
            autograph=False,
        )
        return step.get_concrete_function()

    def _step(
        self, lowering: Lowering, tensors: Sequence[tf.Tensor], mask: np.ndarray
    ) -> list:
        """Returns the output, the gradients of the inputs that are wanted, and those of
        the weights in the order of their names."""
        count = len(self.inputs)
        xs, dy, learning = tensors[:count], tensors[count], tensors[count + 1 :]
        weights = {
            role: tf.constant(value, tf.float32) for role, value in self.weights.items()
        }
        weights |= dict(zip(self.weights, learning))
        reached = {n for n, want in zip(self.node.inputs, self.wanted) if want}
        run = Pass(
            True,
            Rows.of(tf.constant(mask)),
            frozenset({*reached, self.node.name}),
            tf.constant(RANDOM, tf.int32),
        )
        site = Site(self.node, weights, run)
        with zeros_from(zero_of(dy), {}):
            (output,) = lowering.forward_chunks([site], [xs])
            residuals, gradients = [output.residual], [Gradient.of(dy)]
            (found,) = lowering.backward_chunks([site], residuals, gradients)
        gradients = [g.dense() for g in found.inputs if g is not None]
        of_weights = [found.weights[role] for role in sorted(found.weights)]
        return [output.value, *gradients, *of_weights]
