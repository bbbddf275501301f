"""A state in which a supervised net's activations keep off their kinks.

A relu whose input is within a rounding of 0 falls either way, and moves gradients by
far more than a rounding. Where each channel is well above or well below its kink for
every row, float32 is nearly exact, and the wiring of a whole step can be proven
tightly. Any state proves it; whether this one is calm is seen by what Keras' own
float32 does in it.
"""

from __future__ import annotations

import math

import numpy as np

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.proof.proof import Arrays

# Ops whose slope jumps where their input passes a value.
KINKED = ("relu", "leaky_relu", "thresholded_relu", "hard_sigmoid", "prelu")
# Ops that hand values on, so that what feeds them decides which side these are on.
PASSIVE = (
    "add",
    "concatenate",
    "zero_pad",
    "zero_pad_1d",
    "slice",
    "reshape",
    "repeat",
)
# How far channels lie from 0, every other one below, and how far rows differ there.
LEVEL, SPREAD = 1.0, 0.1


def calm(
    graph: Graph, state: Arrays, size: float, spread: float = SPREAD
) -> dict[str, np.ndarray]:
    """Returns the weights to change in a state.

    Batch norms before a kink get beta = +-1 by channel and gamma = spread; where there
    is none, the layer's bias is set so, and its kernel scaled to make as little. Other
    batch norms get half as much beta: at 0, the means of what is computed of theirs are
    0, and their moving means could be held loosely only.

    Args:
      graph: the net.
      state: holds the weights that change; others stay as they are.
      size: root mean square of the net's inputs after preprocessing.
      spread: how far rows differ; the larger, the more digits differences have.
    """
    changes = _shifted(graph, state)
    for node in graph.nodes:
        if node.op in KINKED:
            for source in _sources(graph, graph.node(node.inputs[0])):
                changes |= _levelled(graph, source, state, size, spread)
    return changes


def _shifted(graph: Graph, state: Arrays) -> dict[str, np.ndarray]:
    names = [n.weights.get("beta", "") for n in graph.nodes if n.op == "batch_norm"]
    return {name: sides(state[name]) * 0.5 for name in names if name in state}


def sides(shift: np.ndarray) -> np.ndarray:
    """Returns +-1 by channel."""
    sides = np.where(np.arange(shift.size) % 2, -LEVEL, LEVEL)
    return sides.reshape(shift.shape).astype(np.float32)


def _sources(graph: Graph, node: Node) -> list[Node]:
    """Returns the nodes that decide a value: itself, or those behind passive ones."""
    if node.op not in PASSIVE:
        return [node]
    inputs = map(graph.node, node.inputs)
    return [source for one in inputs for source in _sources(graph, one)]


def _levelled(
    graph: Graph, node: Node, state: Arrays, size: float, spread: float
) -> dict:
    names = {role: name for role, name in node.weights.items() if name in state}
    shift = names.get("beta") or names.get("bias")
    if shift is None:
        return {}
    changes = {shift: sides(state[shift])}
    if "gamma" in names:
        changes[names["gamma"]] = np.full_like(state[names["gamma"]], spread)
    if "kernel" in names:
        reads_input = any(graph.node(name).op == "input" for name in node.inputs)
        kernel = state[names["kernel"]]
        scale = spread / (size if reads_input else LEVEL)
        changes[names["kernel"]] = (kernel * (scale / _norm(node, kernel))).astype(
            np.float32
        )
    return changes


def _norm(node: Node, kernel: np.ndarray) -> float:
    """Returns the typical norm of what one output channel is summed by."""
    terms = math.prod(kernel.shape) / max(node.shape[-1], 1)
    return float(np.sqrt(np.mean(np.square(kernel)) * max(terms, 1.0))) or 1.0
