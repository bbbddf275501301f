"""Copies in float32 and float64 are independent and compute the same."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.reading import nets
from tflite_odl import models
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import float32_copy, float64_copy
from tflite_odl.reading.graph import variables


def _mobilenet(api):
    model = api.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=5
    )
    return nets.randomize(model)


def _operations(api):
    """tf_keras turns operators on tensors into layers of its own."""
    x = api.Input((4,), name="x")
    y = api.layers.Dense(4, name="fc")(x)
    return nets.randomize(api.Model(x, api.layers.ReLU(6.0)(y + 3.0) * (y + x)))


NETS = {
    "resnet8": lambda api: nets.randomize(models.backbone("resnet8", (8, 8, 1), 10)),
    "mobilenet_v2": _mobilenet,
    "nested": nets.nested,
    "branches": nets.branches,
    "sequential": nets.mlp,
    "operations": _operations,
}


@pytest.mark.parametrize("name", NETS)
def test_float32_copy_is_exact_and_independent(name):
    model = NETS[name](tf_keras)
    copy = float32_copy(model)
    x = nets.inputs(model)
    want = model(x).numpy()
    assert np.array_equal(want, copy(x))  # the same kernels on the same weights
    assert _names(copy) == _names(model)
    assert not {id(v) for v in copy.variables} & {id(v) for v in model.variables}
    copy.set_weights([value * 0 + 0.5 for value in copy.get_weights()])
    assert np.array_equal(want, model(x))


@pytest.mark.parametrize("name", NETS)
def test_float64_copy_computes_in_float64(name):
    model = NETS[name](tf_keras)
    copy = float64_copy(model)
    x = nets.inputs(model)
    assert copy(x.astype("float64")).dtype == tf.float64
    assert {v.dtype for v in copy.weights} == {tf.float64}
    assert _names(copy) == _names(model)
    for a, b in zip(model.get_weights(), copy.get_weights(), strict=True):
        assert np.array_equal(a.astype("float64"), b)
    # float32's own rounding over at most 53 layers; measured 4e-7
    assert nets.difference(copy(x.astype("float64")), model(x)) <= 3e-6


def test_float64_copy_resolves_what_float32_cannot():
    """A change of 1e-9 in the input must show: nothing inside is cast to float32."""
    model = NETS["resnet8"](tf_keras)
    copy = float64_copy(model)
    x = nets.inputs(model, dtype="float64")
    moved = np.abs(copy(x * (1 + 1e-9)).numpy() - copy(x).numpy()).max()
    assert 1e-12 < moved < 1e-6


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)])
def test_moving_statistics_follow_the_float32_layer(shape):
    """Rank 4 is the fused kernel, with the unbiased variance; rank 2 is not."""
    x = tf_keras.Input(shape, name="x")
    norm = tf_keras.layers.BatchNormalization(momentum=0.5, name="bn")
    model = nets.randomize(tf_keras.Model(x, norm(x)))
    copy = float64_copy(model)
    rows = nets.inputs(model, 2)
    model(rows, training=True)
    copy(rows.astype("float64"), training=True)
    for a, b in zip(copy.get_weights(), model.get_weights(), strict=True):
        assert nets.difference(a, b) <= 1e-6  # float32 sums of at most 40 terms


def test_gradients_follow_the_float32_model():
    model = nets.conv(tf_keras)
    found = []
    for copy, dtype in ((float64_copy(model), "float64"), (model, "float32")):
        with tf.GradientTape() as tape:
            y = copy(nets.inputs(model, 4, dtype), training=True)
            loss = tf.reduce_sum(y * y)
        found.append(tape.gradient(loss, copy.trainable_variables))
    for a, b in zip(*found, strict=True):
        assert nets.difference(a, b) <= 1e-5  # batch statistics of 80 values amplify


def test_weights_keep_their_names_in_the_layer_graph():
    model = nets.conv(tf_keras)
    del_leaky = tf_keras.Model(model.inputs, model.get_layer("depthwise").output)
    assert list(variables(float64_copy(del_leaky))) == list(variables(del_leaky))


def _names(model):
    return [path for path, _ in rebuild.all_layers(model)]


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_pointwise_strides_are_taken_by_slices(padding):
    """TensorFlow's filter gradient of them corrupts the heap for an odd batch."""
    inputs = tf_keras.Input((7, 6, 3))
    x = tf_keras.layers.Conv2D(4, 1, strides=(2, 3), padding=padding)(inputs)
    x = tf_keras.layers.Reshape((-1, 4))(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Conv1D(2, 1, strides=2)(x))
    copy = float32_copy(model)
    rows = tf.random.stateless_normal((5, 7, 6, 3), (1, 2))
    np.testing.assert_allclose(copy(rows), model(rows), rtol=1e-5, atol=1e-6)
    graph = tf.function(copy).get_concrete_function(tf.TensorSpec(rows.shape)).graph
    convolutions = [op for op in graph.get_operations() if op.type == "Conv2D"]
    assert len(convolutions) == 2
    assert all({*op.get_attr("strides")} == {1} for op in convolutions)
