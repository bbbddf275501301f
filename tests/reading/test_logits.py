"""Endings: softmax becomes logits, logits stay, others are refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.reading import nets
from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.logits import as_logits

layers = tf_keras.layers


def _conv_head(ending):
    """A fully convolutional ending: 1x1 convolution, reshape, softmax of some kind."""
    x = tf_keras.Input((1, 1, 4), name="x")
    y = ending(layers.Conv2D(3, 1, name="conv")(x))
    return nets.randomize(tf_keras.Model(x, layers.Reshape((3,), name="flat")(y)))


def _behind(*behind):
    """A softmax, and what changes nothing behind it."""

    def make(api):
        x = api.Input((4,), name="x")
        y = api.layers.Dense(3, activation="softmax", name="out")(x)
        for layer in behind:
            y = layer(y)
        return nets.randomize(api.Model(x, y))

    return make


def _called(function):
    """A function of TensorFlow, called on the tensor."""

    def make(api):
        x = api.Input((4,), name="x")
        y = api.layers.Dense(3, name="out")(x)
        return nets.randomize(api.Model(x, function(y)))

    return make


def _at_every_step(inner):
    def make(api):
        x = api.Input((2, 4), name="x")
        return nets.randomize(api.Model(x, layers.TimeDistributed(inner)(x)))

    return make


def _inner():
    x = tf_keras.Input((4,))
    y = layers.Dense(3, name="same")(layers.Dense(5, activation="tanh")(x))
    return tf_keras.Model(x, layers.Softmax(name="inside")(y), name="steps")


def _nested(api):
    """A softmax in a model that is nested in another, nothing behind either."""
    inner = _behind(layers.Activation("linear", name="inside"))(api)
    x = api.Input((4,), name="image")
    y = layers.Activation("linear", dtype="float32", name="outside")(inner(x))
    return api.Model(x, y)


SOFTMAX = {
    "dense": nets.mlp,
    "linear_in_float32": _behind(
        layers.Activation("linear", dtype="float32", name="plain"),
        layers.Identity(name="same"),
    ),
    "in_other_shapes": _behind(
        layers.Reshape((1, 3), name="row"), layers.Flatten(name="flat")
    ),
    "no_dropout": _behind(layers.Dropout(0.0, name="none")),
    "nested_and_linear": _nested,
    "tensorflow_softmax": lambda api: nets.mlp(api, tf.nn.softmax),
    "activation": lambda api: nets.conv(api, "softmax"),
    "nested_softmax_layer": nets.nested,
    "called": _called(lambda y: tf.nn.softmax(y, axis=-1)),
    "at_every_step": _at_every_step(layers.Dense(3, activation="softmax")),
    "a_model_at_every_step": _at_every_step(_inner()),
    "under_reshape": lambda api: _conv_head(layers.Softmax(name="soft")),
}


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_is_taken_off(name):
    model = SOFTMAX[name](tf_keras)
    before = [value.copy() for value in model.get_weights()]
    x = nets.inputs(model)
    want = model(x).numpy()
    changed, ending = as_logits(model)
    assert ending == "softmax"
    # softmax of the same logits: one float32 rounding of exp and of the sum
    assert nets.difference(want, tf.nn.softmax(changed(x))) <= 3e-7
    sums = changed(x).numpy().sum(-1)
    assert np.abs(sums - 1).max() > 1e-3  # no probabilities any more
    names = [path for path, _ in rebuild.all_layers(changed)]
    assert names == [path for path, _ in rebuild.all_layers(model)]
    assert np.array_equal(model(x), want)  # the user's model is as it was
    changed.set_weights([value + 1 for value in changed.get_weights()])
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "make",
    [
        nets.conv,
        lambda api: nets.mlp(api, None),
        nets.branches,
        lambda api: nets.conv(api, "linear"),
    ],
)
def test_logits_are_left(make):
    model = make(tf_keras)
    assert as_logits(model) == (model, "logits")


@pytest.mark.parametrize(
    "function", [tf.nn.log_softmax, layers.Activation("log_softmax")]
)
def test_logarithms_of_probabilities_are_logits(function):
    model = _called(function)(tf_keras)
    changed, ending = as_logits(model)
    assert ending == "logits"
    x = nets.inputs(model)
    # softmax of a log_softmax: roundings of an exp, a log and a sum
    want = tf.nn.softmax(model(x))
    assert nets.difference(want, tf.nn.softmax(changed(x))) <= 1e-6
    assert np.abs(changed(x).numpy() - model(x)).max() > 1e-3


def test_functions_that_scale_or_merge_logits_are_left():
    x = tf_keras.Input((4,))
    y = layers.Dense(3)(x)
    for end in (y / 2.0, y + y, tf.concat([y, y], 1), tf.reduce_mean([y, y], 0)):
        model = tf_keras.Model(x, end)
        assert as_logits(model) == (model, "logits")


@pytest.mark.parametrize(
    "ending, message",
    [
        (tf.nn.relu, "nn.relu as the last layer"),
        (lambda x: tf.nn.softmax(x, axis=1), "softmax over axis 1"),
        (lambda x: tf.nn.softmax(x) * 2.0, "softmax of layer .*no logits"),
        (layers.Dense(1, activation="sigmoid", name="end"), "'end'.*sigmoid"),
        (layers.Activation("tanh", name="end"), "'end'.*tanh"),
        (layers.Activation(lambda x: x * x, name="end"), "'end'.*lambda"),
        (layers.ReLU(name="end"), "'end'.*ReLU"),
        (layers.Softmax(axis=1, name="end"), "'end'.*axis 1"),
    ],
)
def test_other_endings_are_refused(ending, message):
    x = tf_keras.Input((2, 4))
    with pytest.raises(ModelError, match=message):
        as_logits(tf_keras.Model(x, ending(x)))


def _probabilities(name="probabilities", activation="softmax"):
    return layers.Dense(4, activation=activation, name=name)


def _scaled_outside():
    x = tf_keras.Input((4,))
    inner = tf_keras.Model(x, _probabilities()(x), name="inner")
    outside = tf_keras.Input((4,))
    return tf_keras.Model(outside, layers.Rescaling(2.0, name="end")(inner(outside)))


BEHIND = {
    "scaled": lambda x: layers.Rescaling(2.0, name="end")(_probabilities()(x)),
    "normed": lambda x: layers.BatchNormalization(name="end")(_probabilities()(x)),
    "mean": lambda x: layers.Average(name="end")(
        [_probabilities()(x), _probabilities("other")(x)]
    ),
    "gated": lambda x: layers.Multiply(name="end")(
        [layers.Dense(4)(x), _probabilities(activation="sigmoid")(x)]
    ),
    "joined": lambda x: layers.Concatenate(name="end")([x, _probabilities()(x)]),
    "pooled_further_up": lambda x: layers.Rescaling(2.0, name="end")(
        layers.GlobalMaxPooling1D()(layers.Reshape((2, 2))(_probabilities()(x)))
    ),
}


@pytest.mark.parametrize("ending", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", [*BEHIND, "outside"])
def test_what_is_made_of_probabilities_is_no_logits(name, ending):
    x = tf_keras.Input((4,))
    model = (
        _scaled_outside() if name == "outside" else tf_keras.Model(x, BEHIND[name](x))
    )
    with pytest.raises(
        ModelError, match="'end'.*of layer '(inner/)?probabilities'.*no lo"
    ):
        as_logits(model, ending)
    assert as_logits(model, ending, said=True) == (model, "logits")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Reshape((2, 2), name="end"), "softmax before Reshape .'end'"),
        (layers.Dropout(0.5, name="end"), "softmax before dropout .'end'"),
    ],
)
def test_a_softmax_that_means_something_else_behind_is_refused(layer, message):
    x = tf_keras.Input((4,))
    with pytest.raises(ModelError, match=message):
        as_logits(tf_keras.Model(x, layer(_probabilities()(x))))


def test_a_gate_before_a_dense_is_no_ending():
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, layers.Dense(3)(BEHIND["gated"](x)))
    assert as_logits(model) == (model, "logits")


def test_softmax_of_mean_probabilities_is_refused():
    x = tf_keras.Input((4, 4, 2))
    y = layers.Conv2D(3, 1, activation="softmax", name="conv")(x)
    model = tf_keras.Model(x, layers.GlobalAveragePooling2D(name="pool")(y))
    with pytest.raises(ModelError, match="'pool'.*softmax"):
        as_logits(model)


def test_softmax_used_twice_is_refused():
    x = tf_keras.Input((3,))
    shared = layers.Dense(3, activation="softmax", name="shared")
    with pytest.raises(ModelError, match="'shared'.*elsewhere"):
        as_logits(tf_keras.Model(x, shared(shared(x))))


def test_two_outputs_are_refused():
    x = tf_keras.Input((3,))
    with pytest.raises(ModelError, match="2 outputs"):
        as_logits(tf_keras.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)]))


def test_options_that_keras_forgets_survive():
    x = tf_keras.Input((4, 4, 2))
    y = layers.BatchNormalization(fused=False, name="bn")(x)
    y = layers.GlobalAveragePooling2D()(y)
    model = tf_keras.Model(x, layers.Dense(3, activation="softmax")(y))
    assert as_logits(model)[0].get_layer("bn").fused is False
