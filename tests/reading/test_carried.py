"""A frozen layer with nothing that learns before it is Keras' own forward pass."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune
from tflite_odl.reading.graph import from_keras

# Both are TensorFlow's float32, of the same ops, sums in another order.
CLOSE = 1e-6


class Doubled(kl.Layer):
    """A layer of the user's own, with a weight."""

    def build(self, shape):
        self.factor = self.add_weight(name="factor", shape=shape[-1:])

    def call(self, x):
        return tf.math.cumsum(x, axis=1) * self.factor


class Counting(kl.Layer):
    """Changes with each call."""

    def build(self, shape):
        self.calls = self.add_weight(name="calls", shape=(), trainable=False)

    def call(self, x):
        return x + self.calls.assign_add(1.0)


LOSS = "sparse_cross_entropy"


def _net(*layers, shape=(6, 5), dtype="float32"):
    tf_keras.utils.set_random_seed(0)
    inputs = x = kl.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    x = kl.Dense(3, name="head")(kl.Flatten()(x))
    return tf_keras.Model(inputs, x)


def _states():
    tf_keras.utils.set_random_seed(0)
    x = kl.Input((6, 5))
    y, h, c = kl.RNN(kl.LSTMCell(4), return_state=True)(x)
    y = kl.Concatenate()([c, h, y])
    return tf_keras.Model(x, kl.Dense(3, name="head")(y))


NETS = {
    "custom layer": lambda: _net(Doubled()),
    "loop": lambda: _net(kl.ConvLSTM2D(3, 2), shape=(4, 5, 5, 2)),
    "several outputs": _states,
}


@pytest.mark.parametrize("name", NETS)
def test_the_graph_computes_what_keras_does(name):
    model = NETS[name]()
    graph = from_keras(model, {"head"})
    assert any(node.op == "carried" for node in graph.nodes)
    shape = model.input_shape[1:]
    x = np.random.default_rng(0).normal(size=(4, *shape))
    run = Pass(True, Rows.of(tf.ones([4])), graph.differentiated())

    @tf.function(input_signature=[tf.TensorSpec([4, *shape], tf.float32)])
    def traced(x):
        return tape.forward(graph, plan(graph), {}, [x], run).output

    expected = model(tf.constant(x, tf.float32), training=False).numpy()
    error = np.abs(traced(tf.constant(x, tf.float32)).numpy() - expected).max()
    assert error <= CLOSE * np.abs(expected).max()


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([kl.ConvLSTM2D(3, 2, dropout=0.3)], "'conv_lstm2d.*at random"),
        ([Counting()], "'counting.*from call to call"),
        ([Doubled(activity_regularizer="l2")], "'doubled.*activity regularizer"),
    ],
)
def test_what_is_another_function_in_training_is_refused(layers, why):
    with pytest.raises(ModelError, match=why):
        from_keras(_net(*layers, shape=(4, 5, 5, 2)), {"head"})


def test_dropout_that_is_called_in_inference_is_carried():
    x = kl.Input((4, 5, 5, 2))
    y = kl.ConvLSTM2D(3, 2, dropout=0.3)(x, training=False)
    model = tf_keras.Model(x, kl.Dense(3, name="head")(kl.Flatten()(y)))
    assert from_keras(model, {"head"}).trainable


def test_a_layer_behind_one_that_learns_is_refused():
    model = _net(kl.Dense(5, name="first"), Doubled())
    with pytest.raises(ModelError, match="'doubled.*freeze it and every layer before"):
        from_keras(model, {"first", "head"})


def test_inputs_of_whole_numbers_take_no_scale_and_no_noise():
    model = _net(kl.Embedding(7, 3), shape=(4,), dtype="int32")
    (feature,) = Finetune(model, trainable="head", loss=LOSS).features
    assert feature.spec(2).dtype == "int32" and feature.bounds(1e6) == (0, 6)
    with pytest.raises(ModelError, match="noise on whole numbers"):
        Finetune(model, trainable="head", noise=0.1, loss=LOSS)


def test_the_penalty_on_a_carried_layers_weights_is_in_the_loss():
    """Once, though the layer is called twice."""
    inputs = kl.Input((3, 4, 4, 2))
    loop = kl.ConvLSTM2D(2, 2, kernel_regularizer="l2", name="loop")
    twice = kl.Concatenate()([loop(inputs), loop(inputs * 2.0)])
    model = tf_keras.Model(inputs, kl.Dense(2, name="top")(kl.Flatten()(twice)))
    graph = from_keras(model, {"top"})
    # The same numbers summed in float64 and in float32.
    assert graph.frozen_penalty == pytest.approx(float(model.losses[0]), rel=1e-6)


def test_a_layer_that_mixes_rows_is_not_carried():
    inputs = kl.Input((4,))
    mixed = kl.Lambda(lambda x: x - tf.reduce_mean(x, 0), name="mixes")(inputs)
    model = tf_keras.Model(inputs, kl.Dense(2, name="top")(mixed))
    with pytest.raises(ModelError, match="'mixes'.*depends on the other rows"):
        from_keras(model, {"top"})
