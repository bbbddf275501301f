"""A state in which the projections of different items differ.

Those of a fresh net are nearly one direction, and in a calm net (`calm`) they are one:
contrast and scores would be differences of equal numbers, of which float32 has few
digits right. A bias that takes their mean away spreads them over the sphere; any state
proves a step.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.proof.calm import sides
from tflite_odl.proof.proof import Arrays
from tflite_odl.reading.copies import float32_copy
from tflite_odl.reading.encoder import HIDDEN, OUTPUT
from tflite_odl.reading.graph import variables

# How far rows differ at a hidden unit of a calm net that is at +-1.
CALM = 0.2


def spread(method, state: Arrays, rows: np.ndarray, calm: bool) -> Arrays:
    """Returns what to change in a state so that projections differ.

    Batch norms' moving statistics become those of the rows, so that inference does what
    training does. The projector's hidden units are centred, too: each is on for some
    rows and off for others, or, in a calm net, on for all or off for all.

    Args:
      method: a `Contrastive`.
      state: holds the weights that change.
      rows: [N, ...], as the sensor gives them.
      calm: whether the encoder is calm.
    """
    model = float32_copy(method.network.model)
    named = variables(model)
    for name, variable in named.items():
        if name in state:
            variable.assign(state[name])
    raw = tf.cast(rows, tf.float32)
    views = [view(tf.constant(state["random"]), raw) for view in method.siamese.views]
    x = method.features[0].preprocessing(tf.concat(views, 0))
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(x, training=True)
    _centre_hidden(model, x, calm)
    output = model.get_layer(OUTPUT)
    output.bias.assign_sub(tf.reduce_mean(model(x, training=False), 0))
    return {
        n: v.numpy() for n, v in named.items() if n in state and _is_ours(n, method)
    }


def _centre_hidden(model: tf_keras.Model, x: tf.Tensor, calm: bool) -> None:
    """Puts each unit of the hidden layer at 0, rows differing by 1, or, if it is to be
    calm, at +-1, rows differing by a fifth of that."""
    layer = model.get_layer(HIDDEN)
    embedding = tf_keras.Model(model.inputs, layer.input)(x, training=False)
    before = tf.matmul(embedding, layer.kernel)
    deviation = tf.math.reduce_std(before, 0)
    factor = (CALM if calm else 1.0) / tf.maximum(deviation, 1e-6)
    layer.kernel.assign(layer.kernel * factor)
    mean = tf.reduce_mean(before * factor, 0)
    layer.bias.assign(sides(layer.bias.numpy()) * calm - mean)


def _is_ours(name: str, method) -> bool:
    moving = name in method.network.graph.moving
    return moving or name.startswith((HIDDEN, OUTPUT))
