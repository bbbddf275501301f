"""A state in which no weight is on the edge between two levels of its quantizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.quantizers.levels import steps
from tflite_odl.builtin.quantizers.weights import CLIP, QUANTIZER, summed_axes
from tflite_odl.leveling import THRESHOLD
from tflite_odl.proof.proof import Arrays

# Float32 has a weight's place among levels to a few 1e-7; how often and how far a bound
# is moved until its channel keeps clear.
CLEAR, TRIES, CLOSER = 1e-5, 100, 0.997


def off_edges(
    graph: Graph, changes: Callable[[Arrays], Arrays]
) -> Callable[[Arrays], Arrays]:
    """Returns a trial's changes, with the student's trained bounds a little narrower
    where a weight would be rounded either way.

    Args:
      graph: of the student.
      changes: of the trial.
    """

    def change(state: Arrays) -> Arrays:
        found = dict(changes(state))
        whole = {**state, **found}
        for node in graph.nodes:
            name = node.weights.get(CLIP)
            if name in whole:
                found[name] = _clear(node, whole[node.weights["kernel"]], whole[name])
        return found

    return change


def _clear(node: Node, kernel: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    axes = summed_axes(node, kernel.ndim)
    shape = [1 if axis in axes else n for axis, n in enumerate(kernel.shape)]
    bounds = np.array(bounds)
    for _ in range(TRIES):
        c = bounds.reshape(shape).astype(np.float64)
        close = _margins(node, np.clip(kernel, -c, c), c, axes).min(axes) < CLEAR
        if not close.any():
            break
        bounds[close.reshape(bounds.shape)] *= np.float32(CLOSER)
    return bounds


def _margins(node: Node, w: np.ndarray, c: np.ndarray, axes) -> np.ndarray:
    """Returns how far clipped weights are from an edge, in levels."""
    quantizer = node.attributes[QUANTIZER]
    if quantizer.kind == "rounded":
        return np.abs(w / c * steps(quantizer.bits) % 1 - 0.5)
    if quantizer.kind == "ternary":
        size = np.abs(w)
        mean = size.mean(axes, keepdims=True)
        return np.abs(size / np.maximum(mean, 1e-30) - THRESHOLD)
    return np.ones_like(w)
