"""Dropout and Gaussian noise, drawn by the graph's own counter-based generator.

What is drawn depends on the random state, on the node's salt and on the row's place in
the batch, never on the data; `drawn` is all that an artifact shares with the Keras
model it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin import random
from tflite_odl.builtin.activations import positive
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)

# A node's salts: one for each uniform draw it makes. Salt 0 is the input noise's.
SALTS = 2


class Factor(Lowering):
    """y = x f in training, f drawn: dropout of entries, of channels or of rows, and
    Gaussian dropout. dx = dy f."""

    name = "factor"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        if not site.run.training:
            return Output(x)
        factor = drawn(site.node, site.run.random, x.shape[0])
        return Output(x * factor, Residual({"factor": factor}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        factor = residual.rows.get("factor")
        return Gradients([gradient if factor is None else gradient.times(factor)])


class Term(Lowering):
    """y = x + n in training, n drawn: Gaussian noise."""

    name = "term"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x = inputs[0]
        if not site.run.training:
            return Output(x)
        return Output(x + drawn(site.node, site.run.random, x.shape[0]))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([gradient])


def drawn(node: Node, state: tf.Tensor, batch: int) -> tf.Tensor:
    """Returns a step's factor or term for a node, [batch, ...], broadcasting to x.

    Args:
      node: `rate` of a dropout, scaled to keep the mean, or `stddev` about `mean`;
        `shape` [...] without batch, and `rows` false where all rows share the draw.
      state: [2] int32, see `builtin.random`.
      batch: number of rows.
    """
    a = node.attributes
    shape = [batch if a["rows"] else 1, *a["shape"]]
    uniform = random.uniform(state, shape, a["salt"])
    if "rate" in a:
        # uniform >= rate; uniforms are multiples of 2^-24.
        return positive(uniform - (a["rate"] - 2.0**-25)) * (1.0 / (1.0 - a["rate"]))
    # Box and Muller (1958), doi 10.1214/aoms/1177706645; 1 - uniform is never zero.
    angle = random.uniform(state, shape, a["salt"] + 1) * (2.0 * math.pi)
    radius = tf.sqrt(tf.math.log(1.0 - uniform) * -2.0)
    return radius * tf.cos(angle) * a["stddev"] + a["mean"]


def draws(graph: Graph, state: tf.Tensor, batch: int) -> dict[str, list[tuple]]:
    """Returns {layer: [(kind, tensor) of each of its calls]}: what a step draws, kind
    being "factor" or "term"."""
    found: dict[str, list[tuple]] = {}
    for node in graph.nodes:
        if node.op in FAMILIES:
            tensor = drawn(node, state, batch)
            found.setdefault(node.layer, []).append((FAMILIES[node.op][0].name, tensor))
    return found


FAMILIES = {
    "dropout": (Factor(),),
    "noise": (Term(),),
}
