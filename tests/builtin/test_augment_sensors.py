"""Sensor augmentation against an independent NumPy one given the same numbers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.builtin import lite
from tflite_odl.builtin import random
from tflite_odl.builtin.augment import SensorAugmentation
from tflite_odl.errors import ModelError
from tflite_odl.proof.references.augment import augmented

# Values to 10 through a rotation, and noise through a logarithm and a cosine, float32.
CLOSE = {"rtol": 0, "atol": 2e-5}
ALL = SensorAugmentation(negate=0.5, time_flip=0.5, permute=0.5, shuffle=0.5)
NONE = SensorAugmentation(0, 0, 0, 0, 0, scale=0, jitter=0)
SHAPE = (16, 12, 6)


def windows(shape=SHAPE, seed=0):
    return np.float32(np.random.default_rng(seed).normal(size=shape) * 3)


def draws(config, shape=SHAPE, seed=3):
    state = tf.constant(random.initial(seed))
    return {n: v.numpy() for n, v in config.draw(state, (5, 6), shape).items()}


@pytest.mark.parametrize(
    "config",
    [
        SensorAugmentation(),
        ALL,
        dataclasses.replace(ALL, spread=(1.0, 2.0, 3.0, 0.1, 0.2, 0.3), segments=3),
        dataclasses.replace(NONE, rotate=0.5),
        dataclasses.replace(NONE, time_flip=0.5),
        dataclasses.replace(NONE, permute=1.0, segments=12),
        dataclasses.replace(NONE, shuffle=0.5, negate=0.5),
        dataclasses.replace(NONE, jitter=0.5),
    ],
)
def test_equals_numpy(config):
    x = windows()
    for seed in (3, 4):
        drawn = draws(config, seed=seed)
        got = config.apply(tf.constant(x), drawn)
        np.testing.assert_allclose(got, augmented(x, drawn, config), **CLOSE)


def test_both_runtimes_equal_numpy():
    inputs = {"x": windows(), "state": random.initial(7)}

    def run(x, state):
        drawn = ALL.draw(state, (5, 6), SHAPE)
        named = {f"u_{name}": value for name, value in drawn.items()}
        return {"y": ALL.apply(x, drawn)} | named

    (got,) = lite.both(run, inputs)
    drawn = {n[2:]: v for n, v in got.items() if n.startswith("u_")}
    for name, value in draws(ALL, seed=7).items():
        np.testing.assert_array_equal(drawn[name], value, name)
    np.testing.assert_allclose(got["y"], augmented(inputs["x"], drawn, ALL), **CLOSE)


def test_nothing_chosen_changes_nothing():
    x = windows((8, 7, 5))
    got = NONE.apply(tf.constant(x), draws(NONE, (8, 7, 5)))
    np.testing.assert_array_equal(got, x)


def test_rotation_keeps_lengths_and_angles_between_groups():
    config = dataclasses.replace(NONE, rotate=1.0)
    x = windows()
    got = config.apply(tf.constant(x), draws(config)).numpy()

    def products(window):
        groups = window.reshape(*window.shape[:2], 2, 3)
        return np.einsum("btgi,bthi->btgh", groups, groups)

    # squares of up to 100, in float32
    np.testing.assert_allclose(products(got), products(x), rtol=1e-5, atol=1e-4)
    assert np.abs(got - x).max(axis=(1, 2)).min() > 0.1


def test_noise_is_normal_and_fresh_each_step():
    config, shape = dataclasses.replace(NONE, jitter=2.0), (16, 100, 6)
    state = tf.constant(random.initial(1))
    zeros = tf.zeros(shape)
    first, second = (
        config.apply(zeros, config.draw(s, (5, 6), shape)).numpy()
        for s in (state, random.advance(state))
    )
    assert (first != second).mean() > 0.99
    # 9,600 draws: 4.5 sigma of the mean and of the deviation
    assert abs(first.mean()) < 4.5 * 2 / np.sqrt(first.size)
    assert abs(first.std() - 2) < 4.5 * 2 / np.sqrt(2 * first.size)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (128, 6, 1), r"needs inputs \[T, C\]"),
        ({}, (128, 4), "groups of 3 axes, the windows have 4 channels: set rotate=0"),
        ({}, (126, 6), "126 rows are not 4 equal segments"),
        ({"spread": (1.0, 2.0)}, (128, 6), "2 numbers of spread, 6 channels"),
    ],
)
def test_windows_that_do_not_fit_are_refused(options, shape, message):
    with pytest.raises(ModelError, match=message):
        SensorAugmentation(**options).check(shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate": 1.5}, "rotate is 1.5"),
        ({"jitter": -1}, "jitter is -1"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"segments": 1}, "segments is 1"),
        ({"spread": (1.0, 0.0)}, "spread is"),
    ],
)
def test_unfitting_options_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        SensorAugmentation(**options)
