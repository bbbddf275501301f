"""The schedules against Keras' own, or in closed form where it has none."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tflite_odl.builtin.schedules import SETTINGS, Schedule
from tflite_odl.errors import ModelError
from tflite_odl.proof.references import optimizers as reference_optimizers

KERAS = tf_keras.optimizers.schedules


def rates(schedule: Schedule, steps: int) -> list[float]:
    settings = {"learning_rate": 0.2, **schedule.hyperparameters()}
    state = {name: tf.constant([value]) for name, value in settings.items()}
    return [float(schedule.rate(state, tf.constant([s]))[0]) for s in range(steps)]


def test_cosine_with_warmup_equals_keras():
    keras = KERAS.CosineDecay(
        0.2 / 5, decay_steps=6, alpha=0.1, warmup_target=0.2, warmup_steps=4
    )
    got = rates(Schedule("cosine", 4, 6, final_rate=0.1), 15)
    # A cosine and a few products in float32.
    np.testing.assert_allclose(got, [float(keras(s)) for s in range(15)], rtol=1e-6)


@pytest.mark.parametrize("kind", ["exponential", "step"])
def test_decay_equals_keras(kind):
    keras = KERAS.ExponentialDecay(0.2, 3, 0.5, staircase=kind == "step")
    got = rates(Schedule(kind, decay_steps=3, decay_rate=0.5), 12)
    np.testing.assert_allclose(got, [float(keras(s)) for s in range(12)], rtol=1e-6)


def test_warmup_reaches_the_full_rate_and_keeps_it():
    got = rates(Schedule(warmup_steps=3), 6)
    np.testing.assert_allclose(got, [0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rtol=1e-6)
    got = rates(Schedule(warmup_steps=2, first_rate=0.0), 5)
    np.testing.assert_allclose(got, [0, 0.1, 0.2, 0.2, 0.2], rtol=1e-6)
    # `configure` may switch the warm-up off on the phone.
    state = {"learning_rate": tf.constant([0.2]), "first_rate": tf.constant([0.5])}
    state["warmup_steps"] = tf.constant([0.0])
    schedule = Schedule(warmup_steps=2, first_rate=0.5)
    np.testing.assert_allclose(schedule.rate(state, tf.constant([0])), [0.2])
    assert Schedule().hyperparameters() == {}


@pytest.mark.parametrize("first_rate", [None, 0.25])
@pytest.mark.parametrize("kind", SETTINGS)
def test_the_reference_has_the_same_rates(kind, first_rate):
    schedule = Schedule(kind, 2, 4, 0.1, 0.3, 2.0, first_rate)
    state = {n: np.float32([v]) for n, v in schedule.hyperparameters().items()}
    state["learning_rate"] = np.float32([0.2])
    found = [reference_optimizers.rate(kind, state, s) for s in range(12)]
    np.testing.assert_allclose(rates(schedule, 12), found, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "linear"}, "'linear' is not one of"),
        ({"warmup_steps": -1}, "warmup_steps is from 0"),
        ({"decay_steps": 0}, "decay_steps is from 1"),
        ({"decay_rate": float("nan")}, "decay_rate"),
    ],
)
def test_impossible_schedules_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        Schedule(**settings)
