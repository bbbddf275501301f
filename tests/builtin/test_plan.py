"""The planner takes the lowering that is cheapest on the target, or the user's."""

import pytest
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin.plan import names, plan
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras


def graph(*layers, shape=(32, 32, 16)):
    model = tf_keras.Sequential([kl.Input(shape), *layers])
    return from_keras(model, {layer.name for layer in model.layers})


@pytest.mark.parametrize(
    ("target", "filters", "strides", "expected"),
    [
        # Measured: see docs/results/speed. Narrow layers half fill AVX-512's kernel.
        ("avx512", 16, 1, "paired_columns"),
        ("avx512", 64, 1, "split_width"),
        ("portable", 16, 1, "split_width"),
        ("portable", 16, 2, "split_width"),
    ],
)
def test_convolutions_by_target(target, filters, strides, expected):
    shape = (512 // filters, 512 // filters, filters)
    below = kl.Conv2D(filters, 1)
    conv = kl.Conv2D(filters, 3, strides, padding="same", name="conv")
    chosen = plan(graph(below, conv, shape=shape), target=target)
    assert names(chosen)["conv"] == expected


def test_what_leaves_the_partition_is_taken_only_when_named():
    depthwise = kl.DepthwiseConv2D(3, padding="same", name="depthwise")
    assert names(plan(graph(depthwise)))["depthwise"] == "products"
    chosen = plan(graph(depthwise), {"depthwise": "convolution"})
    assert names(chosen)["depthwise"] == "convolution"


@pytest.mark.parametrize(
    ("choices", "target", "message"),
    [
        ({"con": "patches"}, "portable", "nodes .'con'. the model does not have"),
        ({"conv": "winograd"}, "portable", "those that support it: .'split_width'"),
        ({}, "sparc", "target 'sparc' is not one of"),
    ],
)
def test_refuses_what_it_does_not_know(choices, target, message):
    with pytest.raises(ModelError, match=message):
        plan(graph(kl.Conv2D(4, 3, name="conv")), choices, target)
