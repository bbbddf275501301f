"""Whether it is cheaper to gather activations or to make them again."""

from __future__ import annotations

from tflite_odl.builtin.graph import Graph


def cheaper(graph: Graph) -> str:
    """Returns "shared" or "recompute"."""
    return "shared"
