"""A batch cut into chunks takes the step of the whole batch."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests import nets
from tests.builtin.single import TOLERANCE, compare, randomize
from tflite_odl.builtin import chunks, random, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.reading.graph import from_keras

BATCH = 6
MASKS = {
    "all": None,
    "some": [1, 0, 1, 1, 0, 1],
    "last chunk empty": [1, 1, 1, 0, 0, 0],
}


def graph_of(model: tf_keras.Model):
    return from_keras(model, {layer.name for layer in model.layers})


def hourglass() -> tf_keras.Model:
    """Rows of 64, 256, 1024, 256 and 12 bytes."""
    return tf_keras.Sequential(
        [
            kl.Input((4, 4, 1)),
            kl.Conv2D(4, 1, name="wide"),
            kl.Conv2D(16, 1, name="widest"),
            kl.AveragePooling2D(2, name="narrow"),
            kl.Flatten(name="flat"),
            kl.Dense(3, name="head"),
        ]
    )


@pytest.mark.parametrize(
    ("batch", "limit", "wide", "narrow", "head"),
    [
        (12, 0, 1, 1, 1),
        (12, 1e6, 1, 1, 1),
        (12, 4096, 4, 4, 1),  # three rows of the widest; narrow reads it
        (12, 1500, 12, 12, 4),  # divisors in a row: 1, 2, 4, 12
        (12, 500, 12, 12, 12),  # a row of the widest is above it, narrow's is not
        (7, 3000, 7, 7, 1),
        (32, 1024, 8, 8, 8),  # 32 were too many for the widest: as if no row did fit
    ],
)
def test_counts(batch, limit, wide, narrow, head):
    found = chunks.counts(graph_of(hourglass()), batch, limit)
    assert [found[name] for name in ("wide", "narrow", "head")] == [wide, narrow, head]


def test_counts_of_a_large_net_are_kept_small(monkeypatch):
    """As if 12 layer runs beyond one each, for a limit of 4096, were too many."""
    graph = graph_of(hourglass())
    whole = chunks.counts(graph, 12, 8192)
    monkeypatch.setattr(chunks, "MOST_EXTRA", 11)
    assert chunks.counts(graph, 12, 4096) == whole
    assert max(whole.values()) == 2


def test_counts_of_branches():
    """Each is cut as its own layers need, what both read as the larger number."""
    inputs = kl.Input((4, 4, 1))
    wide, narrow = kl.Conv2D(16, 1, name="wide"), kl.Conv2D(2, 1, name="narrow")
    pooled = kl.GlobalAveragePooling2D(name="pooled")
    both = kl.Concatenate()([pooled(wide(inputs)), kl.Flatten()(narrow(inputs))])
    model = tf_keras.Model(inputs, kl.Dense(3, name="head")(both))
    found = chunks.counts(graph_of(model), 8, 2048)
    assert found[model.input_names[0]] == found["wide"] == found["pooled"] == 4
    assert found["narrow"] == found["head"] == 1


def inverted() -> tf_keras.Model:
    """Of a MobileNet: a batch norm behind few channels that were made of many."""
    return tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(16, 1, name="expand"),
            kl.BatchNormalization(name="norm"),
            kl.ReLU(6.0),
            kl.Conv2D(3, 1, use_bias=False, name="project"),
            kl.BatchNormalization(name="norm2"),
            kl.Conv2D(4, 1, name="last"),
            kl.Flatten(),
            kl.Dense(3, name="head"),
        ]
    )


def mean_behind() -> tf_keras.Model:
    """A gradient that comes unbroadcast to where the number of chunks changes."""
    return tf_keras.Sequential(
        [
            kl.Input((6, 6, 2)),
            kl.Conv2D(16, 1, activation="relu", name="wide"),
            kl.Conv2D(3, 1, name="narrow"),
            kl.GlobalAveragePooling2D(),
            kl.Dense(3, name="head"),
        ]
    )


def called_twice() -> tf_keras.Model:
    """Shared layers: what each call, and each chunk of it, gives is summed."""
    inputs = kl.Input((6, 6, 4))
    conv = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv")
    norm = kl.BatchNormalization(momentum=0.5, name="norm")
    x = kl.ReLU()(norm(conv(inputs)))
    x = kl.Add()([x, norm(conv(x))])
    x = kl.GlobalAveragePooling2D()(kl.AveragePooling2D()(x))
    return tf_keras.Model(inputs, kl.Dense(3, name="head")(x))


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    ("net", "limit"),
    [
        (inverted, 2600),
        (mean_behind, 2600),
        (called_twice, 700),
        (nets.conv_net, 700),
        (nets.gated_net, 2500),
        (nets.window_net, 1500),
        (nets.sequence_net, 300),
    ],
)
def test_chunked_step_is_keras(net, limit, mask):
    model = net()
    randomize(model)
    found = set(chunks.counts(graph_of(model), BATCH, limit).values())
    assert len(found) > 1, "the net should have borders between numbers of chunks"
    errors = compare(model, BATCH, mask=mask, limit=limit)
    # A batch norm above: zero but for rounding.
    errors = {
        n: e for n, e in errors.items() if n not in ("depthwise_bias", "expand_bias")
    }
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("learning", [{"expand", "head"}, {"expand", "norm2", "head"}])
def test_frozen_layers_in_chunks(learning):
    model = inverted()
    randomize(model)
    errors = compare(model, BATCH, trainable=learning, limit=2600)
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("places", [None, [7, 1, 4, 9, 0, 3]])
def test_chunks_draw_what_the_batch_draws(places):
    graph = graph_of(nets.noisy_net())
    rng = np.random.default_rng(0)
    x = [tf.constant(rng.normal(size=(BATCH, *graph.inputs[0].shape)), tf.float32)]
    dy = tf.constant(rng.normal(size=(BATCH, *graph.output.shape)), tf.float32)
    places = None if places is None else tf.constant(places)
    state, wants = tf.constant(random.initial(1)), graph.differentiated()
    run = Pass(True, Rows.of(tf.ones(BATCH)), wants, state, places)
    whole, cut = (tape.forward(graph, plan(graph), {}, x, run, at) for at in (0, 1500))
    assert len(cut.values["conv"]) > 1
    np.testing.assert_allclose(cut.output, whole.output, atol=1e-6)
    found, expected = cut.backward(dy), whole.backward(dy)
    for name, gradient in expected.items():
        # The same float32 operations: only sums over rows go otherwise.
        largest = np.abs(gradient).max()
        np.testing.assert_allclose(found[name], gradient, atol=1e-5 * largest)
