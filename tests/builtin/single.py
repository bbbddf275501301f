"""Runs a Keras model and its layer graph side by side, one step, eagerly."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tflite_odl.builtin import tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan
from tflite_odl.reading.graph import from_keras, variables

# Two float32 evaluations of sums of up to a few hundred terms: a few 1e-7 each; the
# bound is the project's own for gradients.
TOLERANCE = 1e-5


def check(*layers, shape, batch=3, **options):
    """Compares a model with a trainable 1x1 convolution below the layers, so that the
    layers' input gradient matters too, and a Dense above."""
    below = (
        kl.Conv2D(4, 1, use_bias=False)
        if len(shape) == 3
        else kl.Dense(6, use_bias=False)
    )
    above = [kl.Flatten(), kl.Dense(3)]
    model = tf_keras.Sequential([kl.Input(shape), below, *layers, *above])
    check_model(model, batch, **options)


def check_model(model: tf_keras.Model, batch: int = 3, **options) -> None:
    """Compares a model of random weights with Keras."""
    randomize(model)
    errors = compare(model, batch, **options)
    off = {name: error for name, error in errors.items() if not error < TOLERANCE}
    assert not off, off


def randomize(model: tf_keras.Model, seed: int = 0) -> None:
    """Gives every weight a value that is neither zero, one nor symmetric."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(0, 0.3, variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            value = rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(value)


def compare(
    model,
    batch: int = 3,
    choices=None,
    trainable=None,
    mask=None,
    seed=0,
    limit=0,
    x=None,
):
    """Returns {what: error relative to the largest entry}, ours against Keras.

    `mask` marks the rows that count: Keras is then run on these rows only. `limit` is
    that of `tape.forward`, `x` what the model reads instead of random numbers.
    """
    rng = np.random.default_rng(seed)
    learning = (
        {layer.name for layer in model.layers} if trainable is None else trainable
    )
    graph = from_keras(model, learning)
    mask = np.ones(batch, bool) if mask is None else np.asarray(mask, bool)
    drawn = rng.normal(size=(batch, *model.input_shape[1:])).astype(np.float32)
    x = drawn if x is None else x
    run = Pass(True, Rows.of(tf.constant(mask, tf.float32)), graph.differentiated())
    weights = {name: tf.constant(graph.weights[name]) for name in graph.stateful}
    lowerings, inputs = plan(graph, choices), [tf.constant(x, tf.float32)]
    record = tape.forward(graph, lowerings, weights, inputs, run, limit)
    dy = rng.normal(size=record.output.shape).astype(np.float32)
    dy[~mask] = 0
    ours = record.backward(tf.constant(dy))

    named = variables(model)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.trainable = layer.name in learning
    watched = [named[name] for name in graph.trainable]
    with tf.GradientTape() as keras_tape:
        keras_tape.watch(watched)
        y = model(x[mask], training=True)
    theirs = keras_tape.gradient(y, watched, tf.constant(dy[mask]))
    theirs = [tf.convert_to_tensor(value) for value in theirs]
    # Relative to the largest entry, which is taken as at least 1e-6 of the largest dy.
    floor = 1e-6 * np.abs(dy).max()
    pairs = {"output": (y, tf.boolean_mask(record.output, mask))}
    pairs |= {n: (t, ours[n]) for n, t in zip(graph.trainable, theirs, strict=True)}
    pairs |= {n: (named[n], value) for n, value in record.moved.items()}
    return {
        name: _error(expected, got, floor) for name, (expected, got) in pairs.items()
    }


def _error(expected, got, floor: float) -> float:
    expected, got = np.asarray(expected), np.asarray(got)
    return float(np.abs(expected - got).max() / max(np.abs(expected).max(), floor))
