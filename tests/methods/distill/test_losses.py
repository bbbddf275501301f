"""Losses and gradients against TensorFlow in float64, the gap rule against loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tflite_odl.methods.distill import gap, losses

CLASSES, ROWS = 4, 5
GOOD = np.float32([1, 1, 1, 1, 0])
LABELLED = np.float32([1, 0, 1, 1, 0])
Y = np.array([2, 0, 1, 2, 3])
# A few float32 roundings of sums of twenty terms.
TOLERANCE = {"rtol": 2e-6, "atol": 2e-7}


def column(mask) -> tf.Tensor:
    return tf.constant(mask / mask.sum())[:, tf.newaxis]


def logits(seed: int, scale: float = 2.0) -> np.ndarray:
    z = np.random.default_rng(seed).normal(0, scale, (ROWS, CLASSES))
    return z.astype(np.float32)


def state(**values) -> dict[str, tf.Tensor]:
    first = {"label_weight": 0, "teacher_weight": 0, "entropy_weight": 0}
    first |= {"entropy_margin": 0.05} | values
    return {name: tf.constant([value], tf.float32) for name, value in first.items()}


def ours(z_s, z_t, t, w, settings):
    shares = losses.Shares(column(GOOD), column(LABELLED))
    return losses.of_student(
        losses.Logits.of(tf.constant(z_s)),
        losses.Logits.of(tf.constant(z_t)),
        tf.one_hot(Y, CLASSES),
        shares,
        tf.constant([t], tf.float32),
        tf.constant([w], tf.float32),
        settings,
    )


def mean(rows, mask):
    return tf.reduce_sum(rows * mask) / mask.sum()


def entropies(z):
    rows = tf.reduce_sum(tf.nn.softmax(z) * tf.nn.log_softmax(z), 1)
    return -rows / math.log(CLASSES)


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3)])
@pytest.mark.parametrize(("t", "w"), [(1.0, 1.0), (4.0, 0.0), (2.5, 0.5)])
def test_students_loss_is_tensorflows(seeds, t, w):
    z_s, z_t = logits(seeds[0], 0.5), logits(seeds[1], 3.0)
    settings = state(label_weight=0.3, teacher_weight=0.8, entropy_weight=0.7)
    loss, gradient = ours(z_s, z_t, t, w, settings)
    z, q = tf.constant(z_s, tf.float64), tf.constant(z_t, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(z)
        log = tf.nn.log_softmax(z)
        labels = -tf.gather(log, Y, batch_dims=1)
        apart = tf.nn.log_softmax(q / t) - tf.nn.log_softmax(z / t)
        soft = tf.reduce_sum(tf.nn.softmax(q / t) * apart, 1)
        hard = -tf.gather(log, z_t.argmax(1), batch_dims=1)
        distance = tf.abs(mean(entropies(z), GOOD) - mean(entropies(q), GOOD))
        expected = 0.3 * mean(labels, LABELLED)
        expected += 0.8 * mean((1 - w) * t * t * soft + w * hard, GOOD)
        expected += 0.7 * tf.maximum(distance - 0.05, 0)
    np.testing.assert_allclose(loss, [expected], **TOLERANCE)
    np.testing.assert_allclose(gradient, tape.gradient(expected, z), **TOLERANCE)


def test_teachers_loss_is_tensorflows_and_0_without_labels():
    z_s, z_t = logits(4), logits(5)
    shares = losses.Shares(column(GOOD), column(LABELLED))
    pair = [losses.Logits.of(tf.constant(z)) for z in (z_t, z_s)]
    target = tf.one_hot(Y, CLASSES)
    loss, gradient = losses.of_teacher(*pair, target, shares, 0.4)
    z, p = tf.constant(z_t, tf.float64), tf.nn.softmax(z_s.astype(float))
    with tf.GradientTape() as tape:
        tape.watch(z)
        log = tf.nn.log_softmax(z)
        rows = -tf.gather(log, Y, batch_dims=1)
        rows += 0.4 * tf.reduce_sum(p * (tf.math.log(p) - log), 1)
        expected = mean(rows, LABELLED)
    np.testing.assert_allclose(loss, [expected], **TOLERANCE)
    np.testing.assert_allclose(gradient, tape.gradient(expected, z), **TOLERANCE)
    none = losses.Shares(column(GOOD), tf.zeros([ROWS, 1]))
    loss, gradient = losses.of_teacher(*pair, target, none, 0.4)
    assert loss == 0 and not gradient.numpy().any()


def test_equal_teachers_and_students_pull_nowhere():
    z = logits(6)
    loss, gradient = ours(z, z, 3.0, 0.0, state(teacher_weight=1, entropy_weight=1))
    np.testing.assert_allclose(loss, [0], atol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros_like(z), atol=1e-6)


def test_equal_largest_logits_share_the_hard_target():
    z_t = np.zeros((ROWS, CLASSES), np.float32)
    z_t[:, :2] = 3
    _, gradient = ours(logits(7), z_t, 1.0, 1.0, state(teacher_weight=1))
    p = tf.nn.softmax(logits(7)).numpy()
    target = np.float32([0.5, 0.5, 0, 0])
    np.testing.assert_allclose(gradient, (p - target) * column(GOOD), **TOLERANCE)


@pytest.mark.parametrize("seed", range(30))
def test_the_teacher_pauses_by_the_rule(seed):
    rng = np.random.default_rng(seed)
    student, teacher = (
        tf.nn.softmax(rng.normal(0, 3, (ROWS, CLASSES)).astype(np.float32))
        for _ in range(2)
    )
    target = tf.one_hot(Y, CLASSES)
    rows = np.flatnonzero(LABELLED)
    g, a, b = (
        np.mean([np.abs(p[i] - q[i]).sum() for i in rows])
        for p, q in ((student, teacher), (student, target), (teacher, target))
    )
    delta = a - math.exp(-b / (a + b)) * b
    found = gap.pauses(student, teacher, target, column(LABELLED))
    assert bool(found[0]) == (g > delta and b < a)


def test_the_rule_pauses_some_and_lets_others_learn():
    target = tf.one_hot([0], 3)
    wrong = tf.constant([[0.0, 1.0, 0.0]])
    cases = {
        (0.6, 0.0, 0.4): True,  # better, and far from the student
        (0.1, 0.9, 0.0): False,  # better, and near
        (0.0, 0.0, 1.0): False,  # as wrong
        (1.0, 0.0, 0.0): False,  # right: nothing is gained by waiting, G = delta
    }
    for p, expected in cases.items():
        found = gap.pauses(wrong, tf.constant([p]), target, tf.ones([1, 1]))
        assert bool(found[0]) == expected, p
    assert not gap.pauses(target, target, target, tf.ones([1, 1]))[0]


def standardized(z):
    deviation = tf.math.reduce_std(z, 1, keepdims=True)
    return (z - tf.reduce_mean(z, 1, keepdims=True)) / deviation


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("t", [1.0, 3.5])
def test_the_soft_part_of_standardised_logits_and_its_slope_by_t(t, standardize):
    """Gradients by z and by T are those of TensorFlow, rows weighing differently."""
    z_s, z_t = logits(8, 0.5), logits(9, 3.0)
    weight = np.float32([0.5, 2, 0, 1, 9])
    shares = losses.Shares(column(GOOD), column(LABELLED), column(weight) * 12.5)
    ours_ = [losses.Logits.of(tf.constant(z)) for z in (z_s, z_t)]
    degrees = tf.constant([t])
    loss, gradient = losses.of_student(
        *ours_,
        tf.one_hot(Y, CLASSES),
        shares,
        degrees,
        tf.zeros([1]),
        state(teacher_weight=1),
        standardize,
    )
    slope = losses.by_temperature(*ours_, shares, degrees, standardize)
    z, hot = tf.constant(z_s, tf.float64), tf.constant([t], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([z, hot])
        change = standardized if standardize else tf.identity
        cold, taught = change(z) / hot, change(tf.constant(z_t, tf.float64)) / hot
        apart = tf.nn.log_softmax(taught) - tf.nn.log_softmax(cold)
        rows = hot * hot * tf.reduce_sum(tf.nn.softmax(taught) * apart, 1)
        expected = mean(rows * weight, GOOD)
    by_z, by_t = tape.gradient(expected, [z, hot])
    # The least variance added, 1e-7, beside the roundings.
    np.testing.assert_allclose(loss, [expected], 3e-6, 3e-6)
    np.testing.assert_allclose(gradient, by_z, 3e-6, 3e-6)
    np.testing.assert_allclose(slope, by_t, 1e-5, 3e-6)


def test_weights_of_rows_and_classes_reach_the_parts_they_should():
    """A row's weight scales all of its own; a class's what its label says alone."""
    z_s, z_t = logits(10), logits(11)
    pair = [losses.Logits.of(tf.constant(z)) for z in (z_s, z_t)]
    target, row = tf.one_hot(Y, CLASSES), np.float32([[3], [1], [1], [1], [1]])
    plain = losses.Shares(column(GOOD), column(LABELLED))
    ends = tf.constant([2.0]), tf.constant([0.5])

    def gradient(shares, **settings):
        return losses.of_student(*pair, target, shares, *ends, state(**settings))[1]

    by_row = losses.Shares(plain.good, plain.labelled, tf.constant(row))
    by_class = losses.Shares(plain.good, plain.labelled, None, tf.constant(row))
    for settings in ({"label_weight": 1}, {"teacher_weight": 1}):
        expected = gradient(plain, **settings) * row
        np.testing.assert_allclose(gradient(by_row, **settings), expected, 1e-6)
    expected = gradient(plain, label_weight=1) * row
    np.testing.assert_allclose(gradient(by_class, label_weight=1), expected, 1e-6)
    for settings in ({"teacher_weight": 1}, {"entropy_weight": 1}):
        same = gradient(plain, **settings)
        np.testing.assert_array_equal(gradient(by_class, **settings), same)
