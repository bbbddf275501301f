"""The counter-based generator against NumPy's integers, and its distribution."""

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import random


def numpy_uniform(state, size, salt):
    """The same hash in NumPy's wrapping uint32, with arithmetic shifts."""
    with np.errstate(over="ignore"):
        z = np.arange(size, dtype=np.uint32) * np.uint32(random.INDEX)
        for value, factor in (
            (salt, random.SALT),
            (state[0], random.SEED),
            (state[1], random.COUNTER),
        ):
            z = z + np.uint32(np.int64(value) & 0xFFFFFFFF) * np.uint32(factor)
        for shift, factor in random.ROUNDS:
            z = z ^ (z.view(np.int32) >> shift).view(np.uint32)
            z = z * np.uint32(factor)
    return ((z & np.uint32(0xFFFFFF)) * 2.0**-24).astype(np.float32)


def test_equals_numpy_bit_for_bit():
    for seed, counter, salt in ((0, 0, 0), (7, 123456, 3), (2**31 - 1, 2**31 - 1, 9)):
        state = np.array([seed, counter], np.int32)
        got = random.uniform(tf.constant(state), [5, 7], salt).numpy()
        expected = numpy_uniform(state, 35, salt).reshape(5, 7)
        np.testing.assert_array_equal(got, expected)


def test_is_uniform_and_fresh_each_step():
    state = tf.constant(random.initial(3))
    draws = []
    for _ in range(20):
        draws.append(random.uniform(state, [1000]).numpy())
        state = random.advance(state)
    values = np.concatenate(draws)
    counts = np.histogram(values, 16, (0, 1))[0]
    # 15 degrees of freedom: 37.7 is the 0.1 % point of chi-squared.
    assert ((counts - 1250) ** 2 / 1250).sum() < 37.7
    # Correlations of neighbours and of steps: 4.5 sigma of 1 / sqrt(20,000).
    centred = values - values.mean()
    for lag in (1, 2, 1000):
        correlation = (centred[lag:] * centred[:-lag]).mean() / centred.var()
        assert abs(correlation) < 4.5 / np.sqrt(20_000)


def test_each_name_has_a_salt_of_its_own():
    salts = random.Salts()
    found = [salts(name) for name in ("noise/x", "drop/draw0", "skip/keep")]
    assert len(set(found)) == 3 and salts("noise/x") == found[0]


def test_salt_tells_draws_of_one_step_apart():
    state = tf.constant(random.initial(3))
    a, b = (random.uniform(state, [1000], salt).numpy() for salt in (0, 1))
    assert (a != b).mean() > 0.99


def test_rows_of_a_larger_draw():
    state, places = tf.constant(random.initial(3)), tf.constant([4, 0, 6])
    whole = random.uniform(state, [7, 5, 2], 3).numpy()
    some = random.uniform(state, [3, 5, 2], 3, places).numpy()
    np.testing.assert_array_equal(some, whole[[4, 0, 6]])
