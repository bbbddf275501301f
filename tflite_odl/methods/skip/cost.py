"""Whether it is cheaper to keep all rows' activations or to make some again.

Measured on ResNet-8, batch 32, one thread: a row's forward pass takes .065 ns for each
multiply-add, keeping its activations for branches that may not run .17 ns a byte.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tflite_odl.builtin import tape
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.lowering import Pass, Rows

NS_PER_PRODUCT = 0.065
NS_PER_BYTE = 0.17
# Published skip rates are about three quarters.
KEPT_SHARE = 0.25


def cheaper(graph: Graph, plan: tape.Plan) -> str:
    """Returns "shared" or "recompute", by time at the usual skip rate."""
    again = KEPT_SHARE * products(graph) * NS_PER_PRODUCT
    kept = residual_bytes(graph, plan) * NS_PER_BYTE
    return "shared" if kept <= again else "recompute"


def products(graph: Graph) -> int:
    """Returns the multiply-adds of one row's forward pass."""
    return sum(
        math.prod(node.shape[:-1]) * graph.weights[name].size
        for node in graph.nodes
        for name in node.weights.values()
        if graph.weights[name].ndim > 1
    )


def residual_bytes(graph: Graph, plan: tape.Plan) -> int:
    """Returns the bytes that backward needs of one row."""
    with tf.Graph().as_default():
        inputs = [tf.zeros([1, *node.shape]) for node in graph.inputs]
        seed = tf.zeros([2], tf.int32)
        run = Pass(True, Rows.of(tf.ones([1])), graph.differentiated(), seed)
        record = tape.forward(graph, plan, {}, inputs, run)
        kept = {
            tensor.ref(): tensor.shape.num_elements() * tensor.dtype.size
            for residual in record.residuals.values()
            for tensor in residual.rows.values()
        }
    return sum(kept.values())
