"""Runs a Keras model and its layer graph side by side, one step, eagerly."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import keras_graph, tape
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.builtin.plan import plan


def randomize(model: tf_keras.Model, seed: int = 0) -> None:
    """Gives every weight a value that is neither zero, one nor symmetric."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(0, 0.3, variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            value = rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(value)


def compare(model, batch: int = 3, choices=None, trainable=None, mask=None, seed=0):
    """Returns {what: error relative to the largest entry}, ours against Keras.

    `mask` marks the rows that count: Keras is then run on these rows only.
    """
    rng = np.random.default_rng(seed)
    learning = (
        {layer.name for layer in model.layers} if trainable is None else trainable
    )
    graph = keras_graph.from_keras(model, learning)
    mask = np.ones(batch, bool) if mask is None else np.asarray(mask, bool)
    x = rng.normal(size=(batch, *model.input_shape[1:])).astype(np.float32)
    run = Pass(True, Rows.of(tf.constant(mask, tf.float32)), graph.differentiated())
    weights = {name: tf.constant(graph.weights[name]) for name in graph.stateful}
    record = tape.forward(graph, plan(graph, choices), weights, [tf.constant(x)], run)
    dy = rng.normal(size=record.output.shape).astype(np.float32)
    dy[~mask] = 0
    ours = record.backward(tf.constant(dy))

    variables = keras_graph.variables(model)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.trainable = layer.name in learning
    watched = [variables[name] for name in graph.trainable]
    with tf.GradientTape() as keras_tape:
        keras_tape.watch(watched)
        y = model(x[mask], training=True)
    theirs = keras_tape.gradient(y, watched, tf.constant(dy[mask]))
    # Relative to the largest entry, which is taken as at least 1e-6 of the largest dy.
    floor = 1e-6 * np.abs(dy).max()
    pairs = {"output": (y, tf.boolean_mask(record.output, mask))}
    pairs |= {n: (t, ours[n]) for n, t in zip(graph.trainable, theirs, strict=True)}
    pairs |= {n: (variables[n], value) for n, value in record.moved.items()}
    return {
        name: _error(expected, got, floor) for name, (expected, got) in pairs.items()
    }


def _error(expected, got, floor: float) -> float:
    expected, got = np.asarray(expected), np.asarray(got)
    return float(np.abs(expected - got).max() / max(np.abs(expected).max(), floor))
