"""Losses against nested loops in float64; the masks against exact expectations."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tflite_odl.builtin import rows
from tflite_odl.builtin.losses import LOSSES
from tflite_odl.errors import ModelError
from tflite_odl.methods.config import SupervisedConfig
from tflite_odl.proof.references.losses import KERAS_LOSSES

SPARSE, BINARY = LOSSES["sparse_cross_entropy"], LOSSES["binary_cross_entropy"]
SQUARED = LOSSES["mean_squared_error"]
THIRD = tf.constant([1 / 3, 1 / 3, 0, 1 / 3])

OPTIONS = [
    ("sparse_cross_entropy", {}),
    ("sparse_cross_entropy", {"label_smoothing": 0.2, "class_weights": (0.5, 2, 1)}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"label_smoothing": 0.2, "class_weights": (0.5, 2, 1)}),
    ("mean_squared_error", {}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_value_and_gradient_equal_keras(name, options):
    rng = np.random.default_rng(0)
    z = tf.constant(rng.normal(size=(4, 3)) * 5, tf.float32)
    y = rng.uniform(size=(4, 3)).astype(np.float32)
    if name == "sparse_cross_entropy":
        y = np.int32([2, 0, 1, 1])
    weight, keep = np.float32([1.0, 0.25, 9.0, 3.0]), [0, 1, 3]
    value, gradient = LOSSES[name](3, **options).value(z, y, weight * THIRD)
    keras = KERAS_LOSSES[name](SupervisedConfig(**options), 3)
    wide = tf.Variable(tf.cast(z, tf.float64))
    with tf.GradientTape() as tape:
        expected = keras.value(tf.gather(wide, keep), y[keep], weight[keep])
    # float32 roundings of exponentials and logarithms of order one
    np.testing.assert_allclose(value, [expected], rtol=1e-6)
    slope = tf.convert_to_tensor(tape.gradient(expected, wide))
    np.testing.assert_allclose(gradient, slope, atol=1e-6 * np.abs(slope).max())


def test_cross_entropy_equals_loops():
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(4, 3)) * 5).astype(np.float32)
    labels, counts = np.int32([2, 0, 1, 1]), (1, 1, 0, 1)
    total = 0.0
    for z, label, weight in zip(logits.astype(float), labels, counts, strict=True):
        total -= weight * math.log(math.exp(z[label]) / sum(map(math.exp, z)))
    loss, _ = SPARSE(3).value(tf.constant(logits), labels, THIRD)
    np.testing.assert_allclose(loss, [total / 3], rtol=1e-6)  # float32 roundings


def test_cross_entropies_of_extreme_logits_are_finite():
    logits = tf.constant([[1e4, -1e4], [1e4, -1e4]])
    loss, gradient = SPARSE(2).value(logits, [0, 1], tf.constant([0.5, 0.5]))
    np.testing.assert_allclose(loss, [1e4])  # the second row's 2e4, averaged
    np.testing.assert_allclose(gradient, [[0, 0], [0.5, -0.5]], atol=1e-7)
    y = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    loss, gradient = BINARY(2).value(logits, y, tf.constant([0.5, 0.5]))
    np.testing.assert_allclose(loss, [5e3])
    np.testing.assert_allclose(gradient, [[0, 0], [0.25, -0.25]], atol=1e-7)


def test_metrics_count_labelled_rows_only():
    z, labelled = tf.constant([[2.0, -1.0], [3.0, 1.0], [0.0, 9.0]]), [1.0, 1.0, 0.0]
    found = SPARSE(2).metrics(z, tf.constant([0, 1, 0]), tf.constant(labelled))
    assert found["correct"].numpy() == [1] and found["count"].numpy() == [2]
    y = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = BINARY(2).metrics(z, y, tf.constant(labelled))
    assert found["correct"].numpy() == [3] and found["count"].numpy() == [4]
    found = SQUARED(2).metrics(z, y, tf.constant(labelled))
    assert found["absolute_error"].numpy() == [(1 + 1 + 3 + 0) / 4]
    assert found["count"].numpy() == [2]


def test_rows_that_do_not_count():
    x = np.ones((7, 2, 2), np.float32)
    x[1, 0, 0], x[2, 1, 1], x[3] = np.nan, -np.inf, 1e6
    y = tf.constant([0, 1, 1, 2, -1, 3, -2])
    counted = rows.counted([tf.constant(x)], tf.constant([6]), [(-1e6, 1e6)])
    checked = rows.labelled(counted, y, SPARSE(3).read)
    np.testing.assert_array_equal(counted.real, [1, 1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(counted.good, [1, 0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(checked.good, [1, 0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(checked.labelled, [1, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(checked.share, [0.5, 0, 0, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(checked.rejected, [3])  # NaN, infinity, label 3
    assert np.isfinite(checked.x[0]).all()
    np.testing.assert_array_equal(checked.x[0][3], x[3])  # at the limit: kept


def test_rows_with_one_value_beyond_the_limit_do_not_count():
    just_beyond, big = np.nextafter(np.float32(1e6), np.float32(2e6)), 3.4e38
    values = [0, 1e6, just_beyond, -just_beyond, big, -big, np.inf, -np.inf, np.nan]
    x = np.zeros((len(values), 5, 3), np.float32)
    x[:, 3, 1] = values
    # The others as large as they may be: what is just beyond is not lost beside them.
    x[:, :3] = 1e6
    np.testing.assert_array_equal(
        rows.within(tf.constant(x), -1e6, 1e6), [1, 1, *[0] * 7]
    )


def test_rows_need_all_inputs_and_a_weight():
    a, b = np.ones((4, 2), np.float32), np.ones((4, 3), np.float32)
    b[1, 2] = np.nan
    weight = tf.constant([2.0, 1.0, -1.0, np.nan])
    y, count = tf.zeros([4], tf.int32), tf.constant([4])
    counted = rows.counted([tf.constant(a), tf.constant(b)], count, [None, (-1e6, 1e6)])
    checked = rows.labelled(counted, y, SPARSE(3).read, weight)
    np.testing.assert_array_equal(checked.good, [1, 0, 0, 0])
    np.testing.assert_array_equal(checked.share, [2, 0, 0, 0])


@pytest.mark.parametrize(("kind", "largest"), [(BINARY, 1.0), (SQUARED, 3e38)])
def test_a_row_of_nan_is_unlabelled_and_part_of_one_is_bad(kind, largest):
    nan, inf = np.nan, np.inf
    y = [[0, largest], [nan, nan], [nan, 1], [inf, 1], [-inf, 0], [0.5, 0]]
    labels = kind(2).read(tf.constant(y, tf.float32))
    np.testing.assert_array_equal(labels.valid, [1, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(labels.labelled, [1, 0, 0, 0, 0, 1])
    assert np.isfinite(labels.y).all()
    outside = kind(2).read(tf.constant([[1.5, 0], [0, -0.5]]))
    np.testing.assert_array_equal(outside.valid, [kind is SQUARED] * 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SQUARED(3, 0.1), "has no label_smoothing"),
        (lambda: SQUARED(3, class_weights=(1, 1, 1)), "has no class_weights"),
        (lambda: SPARSE(1), "needs 2 outputs or more"),
        (lambda: SPARSE(3, 1.0), "below 1"),
        (lambda: SPARSE(3, class_weights=(1, 2)), "2 class_weights for 3"),
        (lambda: SPARSE(3, class_weights=(1, 2, -1)), "not negative"),
    ],
)
def test_options_without_meaning_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_finite_takes_the_largest_float_and_nothing_beyond():
    values = tf.constant([3.4e38, -3.4e38, 0.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(rows.finite(values), [1, 1, 1, 0, 0, 0])
