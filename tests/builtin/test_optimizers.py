"""Optimizers against Keras' own over several steps."""

import numpy as np
import pytest
import tensorflow as tf

from tflite_odl.builtin import optimizers
from tflite_odl.proof.references.optimizers import KERAS_OPTIMIZERS


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_equals_keras(name):
    rng = np.random.default_rng(0)
    weights = {n: rng.normal(size=(4, 3)).astype(np.float32) for n in ("a", "b")}
    ours = optimizers.OPTIMIZERS[name](learning_rate=0.1)
    # As the state holds them: 1 - 0.999 differs by 5e-5 between float32 and Python.
    settings = {n: float(np.float32(v)) for n, v in ours.hyperparameters().items()}
    state = {**weights, **ours.initial(weights)}
    state |= {n: np.float32([v]) for n, v in settings.items()}
    keras = KERAS_OPTIMIZERS[name](**settings)
    variables = [tf.Variable(w) for w in weights.values()]
    for step in range(4):
        gradients = {
            n: tf.constant(rng.normal(size=(4, 3)), tf.float32) for n in weights
        }
        state |= ours.update(gradients, state, tf.constant([step]))
        keras.apply_gradients(zip(gradients.values(), variables, strict=True))
    for variable, n in zip(variables, weights, strict=True):
        # Four float32 updates of size 0.1; Adam divides by roots, a few ulp each.
        np.testing.assert_allclose(state[n], variable, rtol=2e-6, atol=2e-6)
    assert len(state) == 2 * (1 + len(ours.slots)) + len(settings)


def test_clip_equals_tensorflow():
    gradients = {n: tf.random.stateless_normal([5, 3], [ord(n), 0]) for n in "ab"}
    norm = tf.sqrt(optimizers.squared_norm(gradients))
    for largest in (0.5, 100.0):
        expected, _ = tf.clip_by_global_norm(list(gradients.values()), largest)
        got = optimizers.clip(gradients, norm, tf.constant([largest]))
        for e, g in zip(expected, got.values(), strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-6)  # two roundings


def test_other_limits_equal_tensorflow():
    gradients = {n: tf.random.stateless_normal([5, 3], [ord(n), 0]) for n in "ab"}
    for largest in (0.5, 100.0):
        each = optimizers.clip_each(gradients, tf.constant([largest]))
        values = optimizers.clip_values(gradients, tf.constant([largest]))
        for name, gradient in gradients.items():
            expected = tf.clip_by_norm(gradient, largest)
            np.testing.assert_allclose(each[name], expected, rtol=1e-6)  # as above
            expected = tf.clip_by_value(gradient, -largest, largest)
            np.testing.assert_array_equal(values[name], expected)


@pytest.mark.parametrize("name", ["momentum", "rmsprop"])
def test_any_optimizer_decays_weights_as_keras(name):
    ours = optimizers.OPTIMIZERS[name](learning_rate=0.1, weight_decay=0.2)
    keras = KERAS_OPTIMIZERS[name](**ours.hyperparameters())
    weight, gradient = np.float32([1.0, -2.0]), np.float32([0.5, 0.25])
    variable = tf.Variable(weight)
    state = {"a": weight, **ours.initial({"a": weight})}
    state |= {n: np.float32([v]) for n, v in ours.hyperparameters().items()}
    news = ours.update({"a": gradient}, state, tf.constant([0]))
    keras.apply_gradients([(tf.constant(gradient), variable)])
    np.testing.assert_allclose(news["a"], variable, rtol=1e-6)  # a few roundings
    assert "weight_decay" not in optimizers.OPTIMIZERS[name]().hyperparameters()


def test_gathered_gradients_are_the_mean_of_a_group():
    rng = np.random.default_rng(1)
    batches = rng.normal(size=(6, 4, 3)).astype(np.float32)
    state = optimizers.initial_sums({"a": batches[0]})
    for step, gradient in enumerate(batches):
        got = optimizers.gather({"a": gradient}, state, tf.constant([step]), 3)
        state |= got.sums
        so_far = batches[step // 3 * 3 : step + 1]
        # Two float32 additions and a product.
        np.testing.assert_allclose(got.mean["a"], so_far.mean(0), atol=3e-7)
        assert got.due.numpy() == [step % 3 == 2]


def test_centered_rmsprop_survives_a_gradient_that_does_not_vary():
    """Keras' own divides by the root of a variance below 0 here."""
    ours = optimizers.OPTIMIZERS["rmsprop_centered"](rho=0.5)
    state = {"a": np.zeros(50, np.float32), **ours.initial({"a": np.zeros(50)})}
    state |= {n: np.float32([v]) for n, v in ours.hyperparameters().items()}
    gradient = np.linspace(1, 1e3, 50, dtype=np.float32)
    for step in range(40):
        state |= ours.update({"a": gradient}, state, tf.constant([step]))
    assert np.isfinite(state["a"]).all()
