"""Bounds are moved where a weight is on the edge of two levels, and there alone."""

import numpy as np
import pytest

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.quantizers.weights import WeightQuantizer
from tflite_odl.proof.edges import off_edges


@pytest.mark.parametrize(
    ("quantizer", "kernel", "bounds"),
    [
        # Of 3 bits: 1 / 2 of 3 steps is 1.5; the other channel is clear.
        (WeightQuantizer("rounded", 3), [[0.5, 0.4], [0.1, 0.3]], [1, 1]),
        # .7 of the mean .5 is .35.
        (WeightQuantizer("ternary", 2), [[0.35, 0.1], [0.65, 0.9]], [0.65, 1]),
    ],
)
def test_a_bound_is_moved_off_the_edge(quantizer, kernel, bounds):
    node = Node(
        "layer",
        "dense",
        ("x",),
        (2,),
        "layer",
        {"quantizer": quantizer},
        {"kernel": "kernel", "kernel_clip": "clip"},
    )
    graph = Graph((node,), {})
    state = {"kernel": np.float32(kernel), "clip": np.float32(bounds)}
    found = off_edges(graph, lambda state: {"other": state["clip"]})(state)
    assert set(found) == {"other", "clip"}
    assert found["clip"][0] < state["clip"][0] and found["clip"][1] == 1
    np.testing.assert_allclose(found["clip"], state["clip"], 0.02)
