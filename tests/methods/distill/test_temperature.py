"""The temperature's properties, with beta = 0 where they are about one batch."""

import numpy as np
import pytest
import tensorflow as tf

from tflite_odl.methods.distill import losses, temperature
from tflite_odl.methods.distill.config import DistillConfig

CLASSES = 5


def first_state(config: DistillConfig) -> dict[str, tf.Tensor]:
    settings = {n: tf.constant([float(getattr(config, n))]) for n in config.settings}
    counters = {t.spec.name: tf.constant(t.value) for t in temperature.state_tensors()}
    return {**settings, **counters, "step": tf.constant([0])}


def run(config, entropies, state=None):
    """Returns (T, w, state) of each step, from pairs of the entropies (t, s)."""
    state, found = state or first_state(config), []
    for teacher, student in entropies:
        step = temperature.follow(
            config, state, tf.constant([teacher]), tf.constant([student])
        )
        state = {**state, **step.news, "step": state["step"] + 1}
        found.append((float(step.value[0]), float(step.hard[0]), state))
    return found


def shares(rows: int) -> losses.Shares:
    return losses.Shares(*2 * [tf.fill([rows, 1], 1.0 / rows)])


def entropy(z) -> float:
    return float(shares(len(z)).entropy(losses.Logits.of(tf.constant(z)))[0])


@pytest.mark.parametrize("scale", [0, 1e-3, 1, 30, 1e4])
@pytest.mark.parametrize("teacher", ["online", "frozen"])
def test_temperature_stays_in_bounds_for_any_logits(scale, teacher):
    config = DistillConfig(teacher=teacher, smoothing=0.0)
    rng = np.random.default_rng(0)
    z = rng.normal(0, scale, (60, 2, 4, CLASSES)).astype(np.float32)
    for t, w, _ in run(config, [(entropy(a), entropy(b)) for a, b in z]):
        assert 1 <= t <= 4 and 0 <= w <= 1
        assert w == pytest.approx(1 - (t - 1) / 3, abs=1e-6)


def test_before_the_peak_the_teacher_is_soft():
    """u = 1: T = T_max, w = 0, and the teacher's part is Hinton's at T_max."""
    config = DistillConfig(smoothing=0.0)
    rising = [(0.9 - 0.02 * k, 0.9) for k in range(30)]
    assert {(t, w) for t, w, _ in run(config, rising)} == {(4.0, 0.0)}
    rng = np.random.default_rng(1)
    z_s, z_t = rng.normal(0, 2, (2, 6, CLASSES)).astype(np.float32)
    state = first_state(DistillConfig(label_weight=0, entropy_weight=0))
    loss, gradient = losses.of_student(
        *(losses.Logits.of(tf.constant(z)) for z in (z_s, z_t)),
        tf.zeros([6, CLASSES]),
        shares(6),
        tf.constant([4.0]),
        tf.constant([0.0]),
        state,
    )
    exact = tf.constant(z_s, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(exact)
        divergence = tf.keras.losses.KLDivergence()(
            tf.nn.softmax(z_t.astype(float) / 4), tf.nn.softmax(exact / 4)
        )
        hinton = 0.9 * 16 * divergence
    np.testing.assert_allclose(loss, [hinton], 1e-5)
    np.testing.assert_allclose(gradient, tape.gradient(hinton, exact), 1e-5, 1e-7)


def test_the_peak_is_past_after_twenty_smaller_distances_and_stays_so():
    config = DistillConfig(smoothing=0.0)
    up, small = (0.1, 0.9), (0.5, 0.9)
    found = run(config, [up, *[small] * 19, up, *[small] * 20, up, small])
    assert [t for t, _, _ in found[:-3]] == [4.0] * 40
    assert found[-3][0] == pytest.approx(1 + 3 * 0.5, rel=1e-5)
    assert found[-2][0] == 4.0
    assert found[-1][0] == pytest.approx(1 + 3 * 0.5, rel=1e-5)


def test_no_distance_left_is_hard_targets():
    config = DistillConfig(teacher="frozen", smoothing=0.0)
    t, w, _ = run(config, [(0.1, 0.9), (0.4, 0.4)])[-1]
    assert (t, w) == (1.0, 1.0)
    # 0 / 0 = 0.
    assert run(config, [(0.4, 0.4)])[0][:2] == (1.0, 1.0)


def test_after_the_peak_the_students_logits_alone_move_the_temperature():
    config = DistillConfig(teacher="frozen", smoothing=0.0)
    state = run(config, [(0.1, 0.9)])[-1][2]
    found = [run(config, [(0.1, s)], state)[0][0] for s in (0.2, 0.4, 0.6)]
    assert found == sorted(found) and found[0] < found[1] < found[2]


def test_the_distance_is_symmetric_and_0_for_equal_logits():
    config = DistillConfig(drive="distance", smoothing=0.0)
    (there, *_), (back, *_) = run(config, [(0.2, 0.7)])[0], run(config, [(0.7, 0.2)])[0]
    assert there == back > 1
    assert run(config, [(0.3, 0.3)])[0][0] == 1


def test_means_begin_at_their_first_value():
    config = DistillConfig()
    states = [state for *_, state in run(config, [(0.5, 0.9), (0.0, 0.9)])]
    assert states[0]["teacher_entropy"] == 0.5
    np.testing.assert_allclose(states[1]["teacher_entropy"], [0.45], 1e-6)
    # A mean that is 0 has begun all the same.
    states = [state for *_, state in run(config, [(0.0, 0.9), (1.0, 0.9)])]
    np.testing.assert_allclose(states[1]["teacher_entropy"], [0.1], 1e-6)


@pytest.mark.parametrize(
    ("options", "u"),
    [
        ({"drive": "distance"}, 0.5),
        ({"drive": "teacher"}, 0.3),
        ({"drive": "maximum"}, 0.5),
        ({"drive": "distance", "power": 2.0}, 0.25),
        ({"temperature": "fixed"}, 1.0),
    ],
)
def test_other_drives(options, u):
    t, w, _ = run(DistillConfig(**options), [(0.3, 0.8)])[0]
    assert t == pytest.approx(1 + 3 * u, rel=1e-5)
    assert w == pytest.approx(1 - u, abs=1e-5)


def test_cosine_runs_from_soft_to_hard():
    config = DistillConfig(temperature="cosine", cosine_steps=8)
    found = [t for t, *_ in run(config, [(0.3, 0.8)] * 12)]
    expected = [1 + 3 * (1 + np.cos(np.pi * min(k / 8, 1))) / 2 for k in range(12)]
    np.testing.assert_allclose(found, expected, 1e-6)


def test_bounds_that_meet_or_cross_give_the_lower_one():
    state = first_state(DistillConfig())
    state["max_temperature"] = tf.constant([0.5])
    assert run(DistillConfig(), [(0.3, 0.8)], state)[0][0] == 1.0


def test_a_learnable_temperature_climbs_more_and_more():
    """T = T_min + (T_max - T_min) sigmoid(v); v's gradient is dL/dv, negative, times
    half a cosine from 0 to 1."""
    config = DistillConfig(temperature="learnable", cosine_steps=8)
    for step, strength in ((0, 0.0), (4, 0.5), (8, 1.0), (20, 1.0)):
        state = first_state(config) | {"step": tf.constant([step])}
        v = tf.constant([0.4], tf.float64)
        state[temperature.LOGIT] = tf.cast(v, tf.float32)
        t, w, _ = run(config, [(0.3, 0.8)], state)[0]
        with tf.GradientTape() as tape:
            tape.watch(v)
            degrees = 1 + 3 * tf.sigmoid(v)
            loss = 0.7 * degrees
        assert t == pytest.approx(float(degrees[0]), rel=1e-6) and w == 0
        found = temperature.gradient(config, state, tf.constant([0.7]))
        expected = -strength * tape.gradient(loss, v)
        np.testing.assert_allclose(found, expected, 1e-5, 1e-7)
