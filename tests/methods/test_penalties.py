"""Penalties and constraints of a saved model: a step is that of its own Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.reading import nets
from tflite_odl.builtin.penalties import Penalty
from tflite_odl.errors import ModelError
from tflite_odl.methods import METHODS, Finetune
from tflite_odl.reading.load import load

APIS = {"tf_keras": tf_keras, "keras3": keras}
ROWS, CLASSES = 6, 3
RATE = 0.05
LOSS = {"loss": "sparse_cross_entropy"}


def penalized(api) -> object:
    """Penalties and constraints of every kind, on shared, nested and frozen layers."""
    kl, of, kinds = api.layers, api.regularizers, api.constraints
    api.utils.set_random_seed(7)
    inner = kl.Input((4, 4, 3))
    y = kl.Conv2D(3, 1, activity_regularizer="l2", name="point")(inner)
    y = kl.SeparableConv2D(
        4,
        2,
        depthwise_regularizer=of.L2(0.1),
        pointwise_regularizer=of.L1L2(0.03, 0.05),
        depthwise_constraint=kinds.MinMaxNorm(0.4, 0.9, 0.3, axis=[0, 1]),
        name="separable",
    )(y)
    inside = api.Model(inner, y, name="inside")
    x = kl.Input((6, 6, 2))
    y = kl.Conv2D(3, 3, kernel_regularizer="l2", use_bias=False, name="conv")(x)
    y = kl.BatchNormalization(gamma_regularizer=of.L1(0.02), name="bn")(y)
    y = inside(kl.Activation("tanh", activity_regularizer=of.L1(0.01))(y))
    y = kl.ActivityRegularization(l1=0.05, l2=0.02)(kl.GlobalAveragePooling2D()(y))
    twice = kl.Dense(
        4,
        activation="relu",
        activity_regularizer=of.L1(0.1),
        kernel_constraint=kinds.MaxNorm(0.5),
        bias_constraint=kinds.NonNeg(),
        name="twice",
    )
    y = twice(twice(y))
    still = kl.Dense(4, kernel_regularizer=of.L2(0.2), name="still")
    still.trainable = False
    head = kl.Dense(
        CLASSES,
        bias_regularizer=of.L2(0.3),
        kernel_constraint=kinds.UnitNorm(),
        name="head",
    )
    return api.Model(x, head(still(y)))


def batch(seed: int = 0, rows: int = ROWS):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6, 6, 2)).astype(np.float32)
    return x, rng.integers(0, CLASSES, rows).astype(np.int32)


def step(method, x, y, count=None, state=None):
    """Returns (outputs, new state) of one step of the method's graph."""
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    state = {name: tf.constant(v) for name, v in {**shipped, **(state or {})}.items()}
    inputs = {method.features[0].name: x, "y": y, "count": [count or len(y)]}
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    train = next(e for e in method.entries(len(y), 1) if e.name == "train")
    outcome = train.run(state, {**inputs, "count": tf.cast(inputs["count"], tf.int32)})
    news = {}
    for change in outcome.changes:
        if change.when is None or bool(change.when):
            news |= {name: value.numpy() for name, value in change.news.items()}
    return {n: v.numpy() for n, v in outcome.outputs.items()}, news


@pytest.mark.parametrize("api", APIS)
def test_a_step_is_train_on_batch_of_the_file(api, tmp_path):
    """Loss as reported, weights after: penalties in both, constraints kept to."""
    keras_of = APIS[api]
    made = penalized(keras_of)
    loss = keras_of.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras_of.optimizers.SGD(RATE), loss)
    made.save(tmp_path / "m.keras")
    method = Finetune(load(tmp_path / "m.keras"))
    theirs = keras_of.models.load_model(tmp_path / "m.keras")
    before = [w.numpy() for w in theirs.weights]
    x, y = batch()
    want = float(theirs.train_on_batch(x, y))
    outputs, news = step(method, x, y)
    # Sums of some hundreds of rounded terms.
    assert outputs["loss"][0] == pytest.approx(want, rel=2e-6)
    assert outputs["accepted"][0] == 1
    after = [w.numpy() for w in theirs.weights]
    moved = [new for new, old in zip(after, before, strict=True) if (new != old).any()]
    ours = [v for n, v in news.items() if n not in ("step", "random")]
    assert len(ours) == len(moved)
    for value in moved:
        # Float32 sums in another order, behind a batch norm, which cancels.
        assert any(
            value.shape == one.shape and nets.difference(value, one) < 1e-5
            for one in ours
        ), value.shape
    loss_after = float(theirs.test_on_batch(x, y))
    evaluate = next(e for e in method.entries(ROWS, 1) if e.name == "evaluate")
    state = {name: t.value for name, t in method.state().items()} | news
    inputs = {method.features[0].name: x, "y": y, "count": np.int32([ROWS])}
    found = evaluate.run(
        {n: tf.constant(v) for n, v in state.items()},
        {n: tf.constant(v) for n, v in inputs.items()},
    )
    assert found.outputs["loss"].numpy()[0] == pytest.approx(loss_after, rel=2e-6)


def small(ending=None, **options) -> tf_keras.Model:
    kl = tf_keras.layers
    tf_keras.utils.set_random_seed(3)
    layers = [kl.Input((6, 6, 2)), kl.Flatten()]
    layers += [kl.Dense(5, activation="relu", name="hidden", **options)]
    return tf_keras.Sequential([*layers, kl.Dense(CLASSES, ending, name="head")])


# Of each method, what makes its step with `small` one that is compared.
OPTIONS = {"skip": {"policy": "full"}, "distill": {"student": "hidden:w4a32"}}
L2 = tf_keras.regularizers.L2(0.1)


def test_rows_without_label_are_penalized_and_padding_is_not():
    """The mean is over the rows that count, whether they have a label or not."""
    x, y = batch()
    y[1] = -1
    with_activity = Finetune(small(activity_regularizer=L2), **LOSS)
    plain = Finetune(small(), **LOSS)
    padded = x.copy()
    padded[4:] = 100.0
    (a, _), (b, _) = step(with_activity, padded, y, 4), step(plain, padded, y, 4)
    hidden = tf_keras.Model(
        plain.source_model.inputs, plain.source_model.layers[-2].output
    )(x[:4])
    want = 0.1 * float(np.square(hidden.numpy()).sum()) / 4
    # The difference of two float32 numbers about 1.
    assert a["loss"][0] - b["loss"][0] == pytest.approx(want, abs=1e-6)


def test_sample_weights_do_not_weigh_penalties():
    x, y = batch()
    losses = []
    for options in ({}, {"kernel_regularizer": L2}):
        method = Finetune(small(**options), sample_weights=True, **LOSS)
        entry = next(e for e in method.entries(ROWS, 1) if e.name == "train")
        state = {n: tf.constant(t.value) for n, t in method.state().items()}
        inputs = {"y": y, "count": np.int32([ROWS]), "weight": np.full(ROWS, 0.5)}
        inputs |= {method.features[0].name: x}
        inputs = {n: tf.constant(v) for n, v in inputs.items()}
        inputs["weight"] = tf.cast(inputs["weight"], tf.float32)
        losses.append(float(entry.run(state, inputs).outputs["loss"][0]))
    kernel = method.network.graph.weights["hidden_kernel"]
    want = 0.1 * float(np.square(kernel).sum())
    # The difference of two float32 numbers about 3.
    assert losses[1] - losses[0] == pytest.approx(want, abs=1e-6)


def test_a_group_of_batches_has_the_penalty_once():
    """Two equal batches make the update of one: their mean gradient is the same."""
    x, y = batch()
    options = {"learning_rate": RATE, **LOSS}
    model = small(
        kernel_regularizer=L2, kernel_constraint=tf_keras.constraints.MaxNorm(0.3)
    )
    _, want = step(Finetune(model, **options), x, y)
    group = Finetune(model, accumulate=2, **options)
    _, first = step(group, x, y)
    assert "hidden_kernel" not in first
    _, found = step(group, x, y, state=first)
    for name in ("hidden_kernel", "head_kernel"):
        # Half of a sum of two equal float32 numbers.
        np.testing.assert_allclose(found[name], want[name], rtol=1e-6)


def windows(**options) -> tf_keras.Model:
    """An encoder of sensors' windows, [T, C], with a head."""
    kl = tf_keras.layers
    hidden = kl.Conv1D(4, 3, activation="relu", name="hidden", **options)
    layers = [kl.Input((16, 3)), hidden, kl.GlobalAveragePooling1D(), kl.Dense(2)]
    return tf_keras.Sequential(layers)


@pytest.mark.filterwarnings("ignore:layer 'hidden' is the first")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_penalties_and_constraints(method):
    """Or refuses them. The weights afterwards are those without, penalty subtracted,
    brought into the constraint."""
    x, y = batch()
    if method == "contrastive":  # whose loss is not the one they belong to
        with pytest.raises(ModelError, match="regularizer or a constraint"):
            METHODS[method](windows(kernel_regularizer=L2))
        return
    kind, options = METHODS[method], {**LOSS, **OPTIONS.get(method, {})}
    options |= {"learning_rate": RATE, "optimizer": "sgd"}
    plain = small()
    penalty = small(kernel_regularizer=L2)
    bound = small(kernel_constraint=tf_keras.constraints.NonNeg())
    news = [step(kind(m, **options), x, y)[1] for m in (plain, penalty, bound)]
    names = [n for n in news[0] if n.endswith("hidden_kernel")]
    assert names
    before = plain.get_layer("hidden").kernel.numpy()
    for name in names:
        want = news[0][name] - RATE * 2 * 0.1 * before
        # A few float32 roundings of weights about 1.
        np.testing.assert_allclose(news[1][name], want, atol=1e-6)
        np.testing.assert_allclose(news[2][name], np.maximum(news[0][name], 0.0))


def test_keras3_penalizes_frozen_weights_only_once_they_learn(tmp_path):
    penalized(keras).save(tmp_path / "m.keras")
    model = load(tmp_path / "m.keras").model
    frozen = Finetune(model, **LOSS).network.graph
    assert "still_kernel" not in frozen.penalties and not frozen.frozen_penalty
    every = Finetune(model, trainable="all", **LOSS).network.graph
    assert every.penalties["still_kernel"] == Penalty(0.0, pytest.approx(0.2))


@pytest.mark.filterwarnings("ignore:layer 'hidden' is the first")
@pytest.mark.parametrize("method", ["skip", "distill"])
def test_what_a_method_has_no_meaning_for_is_refused(method):
    with pytest.raises(ModelError, match="'hidden'.*output.*--method=finetune"):
        METHODS[method](small(activity_regularizer=L2), **LOSS, **OPTIONS[method])


def test_a_penalty_on_the_ending_is_refused():
    model = small("softmax")
    model.layers[-1].activity_regularizer = L2
    with pytest.raises(
        ModelError, match="'head'.*activity_regularizer on the model's softmax"
    ):
        Finetune(model, **LOSS)
