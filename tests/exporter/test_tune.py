"""The tuner measures what a node can be lowered by, under a memory limit."""

import pytest
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin.plan import names, plan
from tflite_odl.errors import ModelError
from tflite_odl.exporter.tune import tune
from tflite_odl.reading.graph import from_keras


@pytest.fixture(scope="module")
def graph():
    layers = [
        kl.Dense(4, name="below"),
        kl.Conv2D(4, 3, padding="same", name="one"),
        kl.Conv2D(4, 3, padding="same", name="same_again"),
    ]
    model = tf_keras.Sequential([kl.Input((8, 8, 3)), *layers])
    return from_keras(model, {layer.name for layer in layers})


def test_equal_nodes_are_measured_once_and_the_plan_takes_the_result(graph):
    stages = []
    choices, measured = tune(graph, 1, progress=stages.append)
    assert stages == ["tune one"] and choices["one"] == choices["same_again"]
    of = {m.lowering: m.ms for m in measured["one"]}
    assert set(of) == {"split_width", "paired_columns", "patches"}
    assert of[choices["one"]] == min(of.values()) > 0
    assert names(plan(graph, choices))["one"] == choices["one"]


def test_memory_limit(graph):
    _, measured = tune(graph, 1)
    peaks = {m.lowering: m.peak_bytes for m in measured["one"]}
    least = min(peaks, key=peaks.get)
    choices, _ = tune(graph, 1, memory_limit=peaks[least])
    assert peaks[choices["one"]] == peaks[least]
    with pytest.raises(ModelError, match="memory limit is 0.0 MB"):
        tune(graph, 1, memory_limit=10)
