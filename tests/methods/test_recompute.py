"""Rows forwarded again have what they had in the whole batch, noise included."""

import numpy as np
import tensorflow as tf

from tests.nets import noisy_net
from tflite_odl.builtin import keras_graph, random, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.methods.skip import compaction


def test_noise_of_rows_forwarded_again_is_the_batchs():
    graph = keras_graph.from_keras(noisy_net(), {"conv", "groups", "hidden", "head"})
    rng = np.random.default_rng(0)
    x = [tf.constant(rng.normal(size=(6, *graph.inputs[0].shape)), tf.float32)]
    state = tf.constant(random.initial(1))
    run = Pass(True, Rows.of(tf.ones(6)), graph.differentiated(), state)
    record = tape.forward(graph, plan(graph), {}, x, run)
    rows, dy = tf.constant([4, 1, 5]), tf.constant(rng.normal(size=(3, 3)), tf.float32)
    kept = Rows.of(tf.ones(3))
    shared = compaction.shared(record, rows, kept).backward(dy)
    again = compaction.recompute(record, rows, kept).backward(dy)
    for name, gradient in shared.items():
        # The same float32 operations on fewer rows: products may be summed otherwise.
        largest = np.abs(gradient).max()
        np.testing.assert_allclose(gradient, again[name], atol=1e-5 * largest)
