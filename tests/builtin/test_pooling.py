"""Pooling against Keras, ties and borders included."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.builtin.single import compare, randomize
from tests.builtin.test_gradients import TOLERANCE, check
from tests.exporter import tiny_trainer
from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.exporter.partitions import partitions
from tflite_odl.reading.graph import from_keras

WINDOWS = list(
    itertools.product(
        ((2, 2), (3, 2), (3, 1), (2, 3), ((3, 2), (1, 2)), (5, 1), (1, 2)),
        ("same", "valid"),
        ((8, 8), (7, 9)),
    )
)
KINDS_2D = [kl.MaxPooling2D, kl.AveragePooling2D]
KINDS_1D = [kl.MaxPooling1D, kl.AveragePooling1D]
GLOBAL_1D = [kl.GlobalMaxPooling1D, kl.GlobalAveragePooling1D]


@pytest.mark.parametrize(("window", "padding", "size"), WINDOWS)
@pytest.mark.parametrize("kind", KINDS_2D)
def test_windows_over_images(kind, window, padding, size):
    """The relu below makes ties: every window has zeros, many have nothing else."""
    check(kl.ReLU(), kind(*window, padding), kl.Conv2D(2, 2), shape=(*size, 3))


@pytest.mark.parametrize(
    "pool",
    [kl.MaxPooling2D(3, 2, "same"), kl.MaxPooling2D(2), kl.MaxPooling2D(3, 1, "same")]
    + [kl.GlobalMaxPooling2D(), kl.AveragePooling2D(3, 2, "same")],
    ids=lambda pool: pool.name,
)
def test_equal_negative_pixels(pool):
    """Every pixel below the pool is -1, so that each window is a tie, its padding
    would win as zero, and the kernel's gradient tells which pixels were chosen."""
    below = kl.Conv2D(4, 1)
    model = tf_keras.Sequential(
        [kl.Input((7, 8, 3)), below, pool, kl.Flatten(), kl.Dense(2)]
    )
    randomize(model)
    below.set_weights([np.zeros((1, 1, 3, 4)), -np.ones(4)])
    errors = compare(model)
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("kind", KINDS_2D)
def test_smallest_images(kind):
    check(kind(3, 2, "same"), shape=(1, 1, 2), batch=1)
    check(kind(1, 2), shape=(3, 2, 1), batch=1)
    check(kind(5, 1, "same"), shape=(2, 3, 2), batch=1)


@pytest.mark.parametrize("kind", KINDS_1D)
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_windows_over_sequences(kind, window, padding):
    for length in (8, 9):
        check(kl.ReLU(), kind(*window, padding), shape=(length, 3))


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(keepdims):
    check(kl.ReLU(), kl.GlobalMaxPooling2D(keepdims=keepdims), shape=(5, 6, 3))
    for kind in GLOBAL_1D:
        check(kl.ReLU(), kind(keepdims=keepdims), shape=(7, 3))
        check(kl.Conv1D(4, 3), kind(keepdims=keepdims), shape=(7, 3))


@pytest.mark.parametrize("kind", [kl.GlobalMaxPooling2D, kl.GlobalAveragePooling2D])
def test_global_pooling_of_one_pixel(kind):
    check(kind(), shape=(1, 1, 3), batch=1)


def test_padded_below():
    """As DenseNet's stem: no pooling has padding of its own that is zero."""
    check(kl.ReLU(), kl.ZeroPadding2D(1), kl.MaxPooling2D(3, 2), shape=(8, 7, 3))


def test_pooling_stays_in_the_partition():
    model = tf_keras.Sequential(
        [
            kl.Input((8, 8, 2)),
            kl.Conv2D(3, 1, name="below"),
            kl.MaxPooling2D(3, 2, "same"),
            kl.AveragePooling2D(2, 1, "same"),
            kl.GlobalMaxPooling2D(),
        ]
    )
    graph = from_keras(model, {"below"})
    weights = {name: tf.constant(graph.weights[name]) for name in graph.trainable}

    def step(x, dy):
        run = Pass(True, Rows.of(tf.ones([2])), graph.differentiated())
        return tape.forward(graph, plan(graph), weights, [x], run).backward(dy)

    specs = tf.TensorSpec([2, 8, 8, 2], name="x"), tf.TensorSpec([2, 3], name="dy")
    found = partitions(tiny_trainer.convert_one(step, *specs))
    assert found["train"].outside == {}
