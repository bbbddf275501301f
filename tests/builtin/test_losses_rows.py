"""The loss against nested loops in float64; the masks against exact expectations."""

import math

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import losses, rows


def test_cross_entropy_equals_loops_and_its_gradient_tensorflow():
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(4, 3)) * 5).astype(np.float32)
    labels, weights = np.int32([2, 0, 1, 1]), np.float32([1, 1, 0, 1])
    total = 0.0
    for z, label, weight in zip(logits.astype(float), labels, weights, strict=True):
        total -= weight * math.log(math.exp(z[label]) / sum(map(math.exp, z)))
    loss, gradient = losses.sparse_cross_entropy(tf.constant(logits), labels, weights)
    np.testing.assert_allclose(loss, [total / 3], rtol=1e-6)  # float32 roundings
    with tf.GradientTape() as tape:
        z = tf.constant(logits)
        tape.watch(z)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z)
        value = tf.reduce_sum(each * weights) / 3
    np.testing.assert_allclose(gradient, tape.gradient(value, z), atol=1e-7)


def test_cross_entropy_of_extreme_logits_is_finite():
    logits = tf.constant([[1e4, -1e4], [1e4, -1e4]])
    loss, gradient = losses.sparse_cross_entropy(logits, [0, 1], tf.ones([2]))
    np.testing.assert_allclose(loss, [1e4])  # the second row's 2e4, averaged
    np.testing.assert_allclose(gradient, [[0, 0], [0.5, -0.5]], atol=1e-7)


def test_cross_entropy_without_labels_is_zero():
    logits = tf.constant([[1.0, 2.0]])
    loss, gradient = losses.sparse_cross_entropy(logits, [0], tf.zeros([1]))
    assert loss.numpy() == 0 and not gradient.numpy().any()


def test_rows_that_do_not_count():
    x = np.ones((7, 2, 2), np.float32)
    x[1, 0, 0], x[2, 1, 1], x[3] = np.nan, -np.inf, 3e38
    y = np.int32([0, 1, 1, 2, -1, 3, -2])
    checked = rows.check(tf.constant(x), tf.constant(y), tf.constant([6]), 3)
    np.testing.assert_array_equal(checked.good, [1, 0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(checked.labelled, [1, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(checked.rejected, [3])  # NaN, infinity, label 3
    assert np.isfinite(checked.x).all()
    np.testing.assert_array_equal(checked.x[3], x[3])  # huge, but finite: kept


def test_finite_takes_the_largest_float_and_nothing_beyond():
    values = tf.constant([3.4e38, -3.4e38, 0.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(rows.finite(values), [1, 1, 1, 0, 0, 0])
