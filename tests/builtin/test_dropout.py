"""What dropout layers draw: as often as asked, anew for each layer, row and step."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin import random
from tflite_odl.builtin.dropout import FAMILIES, drawn
from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import from_keras


def nodes(*layers, shape=(8, 8, 16)):
    """Returns the random nodes of a model with the layers one after the other."""
    model = tf_keras.Sequential([kl.Input(shape), *layers, kl.Dense(1, name="top")])
    graph = from_keras(model, {"top"})
    return [node for node in graph.nodes if node.op in FAMILIES]


def draw(node, step=0, batch=32):
    state = tf.constant(random.initial(5) + np.array([0, step], np.int32))
    return drawn(node, state, batch).numpy()


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    (node,) = nodes(kl.Dropout(rate))
    mask = draw(node)
    values = np.unique(mask)
    np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-6)
    # Five standard deviations of a mean of so many independent draws.
    deviation = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) < 5 * deviation


def test_gaussian_noise_has_its_moments():
    noise, factor = nodes(kl.GaussianNoise(0.3), kl.GaussianDropout(0.2))
    for node, mean, stddev in ((noise, 0, 0.3), (factor, 1, 0.5)):
        sample = draw(node)
        error = 5 * stddev / np.sqrt(sample.size)
        assert abs(sample.mean() - mean) < error
        assert abs(sample.std() - stddev) < error
        # A normal sample is beyond two deviations in 4.55 % of cases.
        beyond = (np.abs(sample - mean) > 2 * stddev).mean()
        assert abs(beyond - 0.0455) < 5 * np.sqrt(0.0455 / sample.size)


def test_layers_rows_and_steps_draw_independently():
    shared = kl.Dropout(0.5)
    first, again, other = nodes(shared, shared, kl.Dropout(0.5))
    masks = [draw(first), draw(again), draw(other), draw(first, step=1)]
    masks += [np.roll(draw(first), 1, axis=0)]
    for k, mask in enumerate(masks):
        for one in masks[:k]:
            # Fair coins agree half of the time; so many agree within 0.01 of that.
            assert abs((mask == one).mean() - 0.5) < 0.01
    np.testing.assert_array_equal(masks[0], draw(first))


def test_noise_shapes():
    channels, rows, steps = (
        *nodes(kl.SpatialDropout2D(0.5)),
        *nodes(kl.Dropout(0.5, noise_shape=(None, 1, 1, 1))),
        *nodes(kl.SpatialDropout1D(0.5), shape=(7, 3)),
    )
    (all_rows,) = nodes(kl.Dropout(0.5, noise_shape=(1, None, 1, 16)))
    assert draw(channels, batch=2).shape == (2, 1, 1, 16)
    assert draw(rows, batch=2).shape == (2, 1, 1, 1)
    assert draw(steps, batch=2).shape == (2, 1, 3)
    assert draw(all_rows, batch=2).shape == (1, 8, 1, 16)


def test_no_draw_where_keras_makes_none():
    assert not nodes(kl.Dropout(0.0), kl.GaussianDropout(0.0))
    base = tf_keras.Sequential([kl.Input((4,)), kl.Dense(3), kl.Dropout(0.5)])
    inputs = kl.Input((4,))
    model = tf_keras.Model(
        inputs, kl.Dense(2, name="top")(base(inputs, training=False))
    )
    graph = from_keras(model, {"top"})
    assert not [node for node in graph.nodes if node.op in FAMILIES]


def test_a_dropout_that_stays_on_is_refused():
    inputs = kl.Input((4,))
    x = kl.Dropout(0.5, name="always")(inputs, training=True)
    model = tf_keras.Model(inputs, kl.Dense(2, name="top")(x))
    with pytest.raises(ModelError, match="'always' .Dropout.*training=True"):
        from_keras(model, {"top"})
