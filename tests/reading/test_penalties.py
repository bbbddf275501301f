"""Regularizers and constraints are those of Keras: values, gradients, projections."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.reading import nets
from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.penalties import added, of_weights, steeper
from tflite_odl.builtin.plan import plan
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras, variables
from tflite_odl.reading.penalties import constrained

regularizers, kinds = tf_keras.regularizers, tf_keras.constraints
# A few float32 roundings of sums of some tens of terms.
CLOSE = 2e-6


def _penalized():
    x = kl.Input((6, 6, 2))
    y = kl.Conv2D(3, 3, kernel_regularizer="l2", use_bias=False, name="conv")(x)
    y = kl.BatchNormalization(gamma_regularizer=regularizers.L1(0.02), name="bn")(y)
    y = kl.Activation("tanh", activity_regularizer=regularizers.L1(0.01))(y)
    y = kl.SeparableConv2D(
        4,
        2,
        depthwise_regularizer=regularizers.L2(0.1),
        pointwise_regularizer=regularizers.L1L2(0.03, 0.05),
        name="separable",
    )(y)
    y = kl.ActivityRegularization(l1=0.05, l2=0.02)(kl.GlobalAveragePooling2D()(y))
    head = kl.Dense(3, bias_regularizer=regularizers.L2(0.3), name="head")
    return nets.randomize(tf_keras.Model(x, head(y)))


@pytest.mark.parametrize("frozen", [(), ("conv",), ("conv", "bn", "separable")])
def test_penalties_are_keras_own(frozen):
    """Also of frozen layers, which tf_keras counts; a padded row counts for nothing."""
    model = _penalized()
    learning = {layer.name for layer in model.layers} - set(frozen)
    for name in frozen:
        model.get_layer(name).trainable = False
    graph = from_keras(model, learning)
    x = np.random.default_rng(1).normal(size=(4, 6, 6, 2)).astype(np.float32)
    mask = tf.constant([1.0, 1.0, 1.0, 0.0])
    run = Pass(True, Rows.of(mask), graph.differentiated())
    weights = {name: tf.constant(value) for name, value in graph.weights.items()}
    record = tape.forward(graph, plan(graph), weights, [tf.constant(x)], run, 100)
    terms = [*of_weights(graph.penalties, weights), *record.activities(run.rows)]
    loss = added(tf.constant([graph.frozen_penalty], tf.float32), terms)
    dy = np.ones((4, 3), np.float32) * np.array([[1], [1], [1], [0]], np.float32)
    ours = steeper(record.backward(tf.constant(dy)), graph.penalties, weights)

    watched = [variables(model)[name] for name in graph.trainable]
    with tf.GradientTape() as keras_tape:
        keras_tape.watch(watched)
        y = model(x[:3], training=True)
        want = tf.add_n(model.losses)
        both = want + tf.reduce_sum(y)
    assert loss.numpy()[0] == pytest.approx(float(want), rel=CLOSE)
    # A sum of rounded terms; the conv's gradient passes a batch norm, which cancels.
    theirs = keras_tape.gradient(both, watched)
    for name, gradient in zip(graph.trainable, theirs, strict=True):
        assert nets.difference(gradient, ours[name]) <= 1e-5, name


def test_constraints_are_keras_own():
    given = {
        "unit": kinds.UnitNorm(axis=[0, 1, 2]),
        "most": kinds.MaxNorm(0.5),
        "between": kinds.MinMaxNorm(0.4, 0.9, 0.3, axis=-1),
        "positive": kinds.NonNeg(),
    }
    for name, constraint in given.items():
        layer = kl.Conv2D(3, 3, kernel_constraint=constraint, name=name)
        layer.build((None, 5, 5, 4))
        ((variable, ours),) = constrained(layer, name)
        assert variable is layer.kernel
        w = np.random.default_rng(2).normal(size=variable.shape).astype(np.float32)
        w[..., 0] *= 0.01  # norms below and above each limit
        assert nets.difference(constraint(w), ours(tf.constant(w))) <= CLOSE, name


@pytest.mark.parametrize(
    "layer, message",
    [
        (
            kl.Dense(3, kernel_regularizer=regularizers.OrthogonalRegularizer()),
            "kernel_regularizer OrthogonalRegularizer.*L1L2",
        ),
        (
            kl.Dense(3, kernel_constraint=kinds.RadialConstraint(), name="a"),
            "'a': kernel_constraint RadialConstraint.*MaxNorm",
        ),
    ],
)
def test_others_are_refused(layer, message):
    model = tf_keras.Sequential([kl.Input((4,)), layer])
    with pytest.raises(ModelError, match=message):
        from_keras(model, {layer.name})
