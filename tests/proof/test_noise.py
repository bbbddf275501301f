"""Keras' layers of a reference draw what an artifact draws, in Keras' own shapes."""

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin import random, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.proof.references.noise import DrawnNoise
from tflite_odl.reading.graph import from_keras


def test_attention_along_two_axes_drops_what_the_graph_drops():
    x = kl.Input((2, 3, 4))
    y = kl.MultiHeadAttention(2, 3, dropout=0.4, name="heads")(x, x)
    model = tf_keras.Model(x, kl.Dense(2, name="head")(kl.Flatten()(y)))
    graph = from_keras(model, {"heads", "head"})
    state = random.initial(3)
    values = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype(np.float32)
    good = Rows.of(tf.ones(3))
    run = Pass(True, good, graph.differentiated(), tf.constant(state))
    weights = {name: tf.constant(value) for name, value in graph.weights.items()}
    ours = tape.forward(graph, plan(graph), weights, [tf.constant(values)], run).output
    noise = DrawnNoise(model, graph)
    noise.set(state, np.ones(3, bool))
    theirs = model(values, training=True)
    # Float32 sums in another order, of values about 1.
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(theirs - model(values)).max() > 0.01
