"""What `skip` promises, part by part and over whole runs of an artifact.

The export gate has already compared each step, in every bucket, with Keras and loops.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.nets import BATCH, CLASSES, conv_net, mlp
from tflite_odl import streams
from tflite_odl.builtin import random
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.errors import ModelError
from tflite_odl.exporter.export import export
from tflite_odl.host.session import Session
from tflite_odl.methods import Skip
from tflite_odl.methods.skip import compaction, threshold
from tflite_odl.reading.graph import variables

N = 20
EDGES = {spacing: threshold.edges(spacing, N) for spacing in ("uniform", "geometric")}


def f32(*values) -> tf.Tensor:
    return tf.constant(values, tf.float32)


def test_geometric_edges_shrink_the_distance_to_certainty_by_one_factor():
    distance = 1 - threshold.edges("geometric", 4)
    # The cube of the factor is 2^-14; the last interval goes on to 1.
    expected = [1, 2 ** (-14 / 3), 2 ** (-28 / 3), 2**-14, 0]
    np.testing.assert_allclose(distance, expected, rtol=1e-9)
    np.testing.assert_array_equal(
        threshold.edges("uniform", 4), [0, 0.25, 0.5, 0.75, 1]
    )


def test_an_interval_begins_at_its_edge_and_one_belongs_to_the_last():
    k = threshold.interval(f32(0.0, 0.049, 0.25, 0.999, 1.0), EDGES["uniform"])
    np.testing.assert_array_equal(k, [0, 0, 5, 19, 19])


@pytest.mark.parametrize("intervals", [20, 41, 1000])
@pytest.mark.parametrize("spacing", EDGES)
def test_no_rounding_moves_a_confidence_over_an_edge(spacing, intervals):
    """floor(20 c) does at .85, floor(41 c) at 1 / 41."""
    edges = threshold.edges(spacing, intervals)
    begins = edges[:-1].astype(np.float32)
    below = np.nextafter(begins[1:], np.float32(0))
    at, under = (threshold.interval(f32(*c), edges) for c in (begins, below))
    np.testing.assert_array_equal(at, np.arange(intervals))
    np.testing.assert_array_equal(under, np.arange(intervals - 1))


def test_gradients_are_linear_between_the_nearest_occupied_intervals():
    sums, samples = np.zeros(6, np.float32), np.zeros(6, np.float32)
    sums[[1, 2, 4]], samples[[1, 2, 4]] = (8.0, 99.0, 2.0), (2, 1, 2)
    middles = threshold.middles(threshold.edges("uniform", 6))
    found = threshold.interpolate(tf.constant(sums), tf.constant(samples), middles)
    # From 4 in interval 1 to 1 in interval 4, relative to the larger.
    np.testing.assert_allclose(found, np.array([4, 4, 3, 2, 1, 1]) / 4, rtol=1e-6)


@pytest.mark.parametrize("spacing", EDGES)
def test_a_gradient_that_is_the_distance_to_certainty_is_found_from_its_ends(spacing):
    """In every interval, near 1 too: in k it is not linear where they shrink."""
    middles = threshold.middles(EDGES[spacing])
    samples = np.zeros(N, np.float32)
    samples[[2, N - 1]] = 1
    sums = samples * (1 - middles).astype(np.float32)
    found = threshold.interpolate(tf.constant(sums), tf.constant(samples), middles)
    expected = (1 - np.maximum(middles, middles[2])) / (1 - middles[2])
    # A few roundings of float32, relative to each.
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def confident(rows: int = 4096) -> np.ndarray:
    """Returns [rows] confidences above .999, 1 - c of a heavy tail: log-normal."""
    z = np.random.default_rng(0).normal(size=rows)
    return (1 - np.minimum(1e-4 * np.exp(1.5 * z), 9.9e-4)).astype(np.float32)


def decided(c: np.ndarray, spacing: str, bound: float) -> tuple[np.ndarray, float]:
    """Returns (whether each row is skipped, the estimated error), sizes being 1 - c."""
    edges = EDGES[spacing]
    k = threshold.interval(tf.constant(c), edges)
    counts = threshold.accumulate(k, tf.ones(len(c)), N)
    sums = threshold.accumulate(k, tf.constant(1 - c), N)
    gradients = threshold.interpolate(sums, counts, threshold.middles(edges))
    error = threshold.relative_squared_error(counts, gradients, kappa=2.0)
    j, estimated = threshold.decide(counts, error, f32(bound))
    return k.numpy() >= j.numpy(), float(estimated[0])


def test_of_confident_rows_uniform_intervals_skip_none():
    assert not decided(confident(), "uniform", 0.05)[0].any()


def test_of_confident_rows_geometric_intervals_skip_half_within_the_bound():
    c = confident()
    skipped, estimated = decided(c, "geometric", 0.05)
    assert skipped.mean() > 0.4
    # All gradients in one direction: no other rows of these sizes err more.
    worst = ((1 - c)[skipped].sum() / (1 - c).sum()) ** 2
    assert worst <= estimated < 0.05


@pytest.mark.parametrize("spacing", EDGES)
@pytest.mark.parametrize("seed", range(5))
def test_error_never_grows_with_j_nor_threshold_with_the_bound(seed, spacing):
    rng = np.random.default_rng(seed)
    counts = tf.constant(rng.integers(0, 40, N).astype(np.float32))
    sums = counts * tf.constant(rng.uniform(0, 1, N).astype(np.float32))
    middles = threshold.middles(EDGES[spacing])
    gradients = threshold.interpolate(sums, counts, middles)
    error = threshold.relative_squared_error(counts, gradients, kappa=2.0)
    assert (np.diff(error) <= 0).all() and error[0] == 2.0
    bounds = [0.0, 0.0025, 0.01, 0.03, 0.05, 0.1, 1.0, 3.0]
    cuts = [int(threshold.decide(counts, error, f32(b))[0][0]) for b in bounds]
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[0] == N and cuts[-1] == 0


@pytest.mark.parametrize("spacing", EDGES)
def test_nothing_counted_or_no_gradient_skips_nothing(spacing):
    middles = threshold.middles(EDGES[spacing])
    for counts in (tf.zeros(N), tf.ones(N)):
        gradients = threshold.interpolate(tf.zeros(N), counts, middles)
        error = threshold.relative_squared_error(counts, gradients, 2.0)
        assert threshold.decide(counts, error, f32(1.0))[0][0] == N


def test_kept_rows_come_first_in_their_order():
    found = compaction.order(f32(0, 1, 1, 0, 0, 1))
    np.testing.assert_array_equal(found, [1, 2, 5, 0, 3, 4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "luck"}, "policy is 'luck', needs one of"),
        ({"spacing": "even"}, "spacing is 'even', needs one of"),
        ({"error_bound": -1.0}, "error_bound is -1.0"),
        ({"buckets": (0.5, 1.5)}, "fractions between 0 and 1"),
        ({"final_full_fraction": 0.1}, "needs total_steps"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        Skip(mlp(), **options)


def test_head_gradients_need_a_dense_layer_at_the_end():
    inputs = kl.Input((6, 6, 2))
    x = kl.GlobalAveragePooling2D()(kl.Conv2D(CLASSES, 3)(inputs))
    model = tf_keras.Model(inputs, x)
    with pytest.raises(ModelError, match="use gradient_ends='probe'"):
        Skip(model)
    assert Skip(model, gradient_ends="probe").policy.probes


def test_of_a_frozen_backbone_only_what_the_head_reads_is_kept():
    method = Skip(conv_net(), trainable="head")
    kept = compaction.dear(method.network.graph, method.network.graph.differentiated())
    ops = {node.op for node in method.network.graph.nodes if node.name in kept}
    assert ops == {"global_average_pool"}


def test_no_two_draws_of_a_step_share_a_salt():
    """The noise of three inputs, two draws of the policy, and dropout's."""
    kinds = [kl.Input((4,), name=name) for name in "abc"]
    x = kl.Dropout(0.5)(kl.Dropout(0.5)(kl.Add()(kinds)))
    method = Skip(
        tf_keras.Model(kinds, kl.Dense(CLASSES)(x)),
        noise=0.1,
        policy="random",
        keep_skipped=0.5,
    )
    taken, uniform = [], random.uniform

    def noted(state, shape, salt=0, places=None):
        taken.append(salt)
        return uniform(state, shape, salt, places)

    state = {name: tf.constant(t.value) for name, t in method.state().items()}
    inputs = {name: tf.zeros([BATCH, 4]) for name in "abc"}
    inputs |= {"y": tf.zeros([BATCH], tf.int32), "count": tf.constant([BATCH])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "uniform", noted)
        record = method.forward(state, method.check(inputs))
        scores = method._scores(state, method.check(inputs), record, None)
        method._weights(state, scores)
    assert len(taken) == 7 == len(set(taken))


def batches(steps: int):
    rng = np.random.default_rng(5)
    for _ in range(steps):
        x = rng.normal(size=(BATCH, 6, 6, 2)).astype(np.float32)
        yield {"x": x, "y": rng.integers(-1, CLASSES, BATCH).astype(np.int32)}


def test_a_bound_of_zero_is_plain_training_bit_for_bit(build):
    with Session(build("skip-shared")) as bounded, Session(build("skip-full")) as full:
        bounded.configure(error_bound=0.0)
        for inputs in batches(12):
            assert bounded.train(**inputs)["kept"] == full.train(**inputs)["kept"]
        expected, got = full.state(), bounded.state()
        assert all(expected[n].tobytes() == got[n].tobytes() for n in expected)


def test_rows_are_kept_skipped_or_unlabelled(build):
    with Session(build("skip-shared")) as session:
        session.configure(error_bound=0.5)
        skipped = 0
        for inputs in batches(20):
            metrics = session.train(**inputs)
            skipped += (inputs["y"] >= 0).sum() - metrics["kept"][0]
            assert metrics["skipped_total"][0] == skipped
        assert 0 < skipped


def test_skipped_rows_are_counted_up_to_the_largest_number(build):
    with Session(build("skip-shared")) as session:
        state = session.state(include_buffers=True)
        state["threshold_interval"][:] = 0  # skips all
        state["skipped_total"][:] = 2**31 - 2 - BATCH
        state["confidence_counts"][:] = 2**24  # where float32 would stop
        session.load_state(state)
        inputs = {**next(batches(1)), "y": np.zeros(BATCH, np.int32)}
        totals = [int(session.train(**inputs)["skipped_total"][0]) for _ in range(3)]
        counts = session.state()["confidence_counts"].astype(np.int64)
    assert totals == [2**31 - 2, 2**31 - 1, 2**31 - 1]
    assert counts.sum() == 20 * 2**24 + 3 * BATCH


def test_a_bound_above_kappa_learns_nothing_from_the_second_period_on(build):
    with Session(build("skip-shared")) as session:
        session.configure(error_bound=3.0)
        *first, second, third = batches(7)
        kept = [session.train(**inputs)["kept"][0] for inputs in first]
        assert min(kept) > 0  # the period is 5 steps
        before = session.state()
        metrics = session.train(**second), session.train(**third)
        after = session.state()
    assert all(m["kept"] == 0 and m["gradient_norm"] == 0 for m in metrics)
    assert metrics[1]["step"] == 7 and after["updates"] == 5
    for name, value in before.items():
        if name.startswith(("conv", "depthwise", "head")):
            assert value.tobytes() == after[name].tobytes(), name


@pytest.mark.parametrize(
    ("case", "spacing"),
    [("skip-shared", ("uniform", 20)), ("skip-recompute", ("geometric", 60))],
)
def test_the_threshold_is_the_edge_of_its_interval(case, spacing, build):
    edges, cuts = threshold.edges(*spacing).astype(np.float32), []
    with Session(build(case)) as session:
        session.configure(error_bound=0.5, update_period=2)
        for inputs in batches(8):
            shown = session.train(**inputs)["threshold"][0]
            cuts.append(session.state()["threshold_interval"][0])
            assert shown == edges[cuts[-1]]
    assert 0 < min(cuts) < spacing[1]


@pytest.mark.parametrize("spacing", EDGES)
def test_measured_error_stays_within_the_bound(spacing, tmp_path):
    """On held-out rows, in 95 % of periods of an epoch each.

    The first decision breaks it: it rests on the confidences of a net that was new.
    """
    data, bound, period = streams.open("digits"), 0.05, 90
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            kl.Input(data.input_shape),
            kl.Flatten(),
            kl.Dense(24, activation="relu", name="hidden"),
            kl.Dense(10, name="head"),
        ]
    )
    scaling = Preprocessing(str(data.train.x.dtype), data.scale, data.offset)
    method = Skip(
        model,
        learning_rate=0.1,
        error_bound=bound,
        update_period=period,
        spacing=spacing,
        preprocessing=scaling,
    )
    folder = export(method, batch_size=16).save(tmp_path / "artifact")
    batches, thetas, errors = data.train.batches(16), [], []
    with Session(folder) as session:
        for _ in range(25):
            for _ in range(period):
                x, y = next(batches)
                theta = session.train(x=x, y=y)["threshold"][0]
            load(method.network.model, session.state())
            thetas.append(theta)
            rows = scaling(data.test.x), data.test.y
            errors.append(squared_error(method.network.model, *rows, theta))
    assert np.sum(np.array(thetas) < 1) >= 10
    assert np.mean(np.array(errors) <= bound) >= 0.95


def load(model: tf_keras.Model, state) -> None:
    for name, variable in variables(model).items():
        variable.assign(state[name])


def squared_error(model: tf_keras.Model, x, y, theta: float) -> float:
    """Returns |sum of skipped gradients|^2 / |sum of all|^2."""
    with tf.GradientTape(persistent=True) as tape:
        logits = model(x)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
    skipped = tf.cast(tf.exp(-losses) >= theta, tf.float32)
    sizes = []
    for weights in (skipped, tf.ones_like(skipped)):
        found = tape.gradient(losses, model.trainable_variables, weights)
        sizes.append(float(tf.linalg.global_norm(found)))
    return (sizes[0] / sizes[1]) ** 2
