"""Rows forwarded again have what they had in the whole batch, noise included."""

import numpy as np
import pytest
import tensorflow as tf

from tests.nets import noisy_net
from tflite_odl.builtin import random, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.methods.skip import compaction
from tflite_odl.reading.graph import from_keras


@pytest.mark.parametrize("limit", [0, 500])
def test_noise_of_rows_forwarded_again_is_the_batchs(limit):
    graph = from_keras(noisy_net(), {"conv", "groups", "hidden", "head"})
    rng = np.random.default_rng(0)
    x = [tf.constant(rng.normal(size=(6, *graph.inputs[0].shape)), tf.float32)]
    state = tf.constant(random.initial(1))
    run = Pass(True, Rows.of(tf.ones(6)), graph.differentiated(), state)
    record = tape.forward(graph, plan(graph), {}, x, run, limit)
    rows, dy = tf.constant([4, 1, 5]), tf.constant(rng.normal(size=(3, 3)), tf.float32)
    kept = Rows.of(tf.ones(3))
    # Without batch norms a skipped row is one whose gradient is zero.
    whole = record.backward(tf.scatter_nd(rows[:, tf.newaxis], dy, [6, 3]))
    for forward in compaction.FORWARDS.values():
        found = forward(record, rows, kept).backward(dy)
        assert found.keys() == whole.keys()
        for name, gradient in whole.items():
            # The same float32 operations on fewer rows: sums may go otherwise.
            largest = np.abs(gradient).max()
            np.testing.assert_allclose(found[name], gradient, atol=1e-5 * largest)
