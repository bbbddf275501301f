"""A backbone with group norms in place of batch norms.

A stream's batches are alike: statistics over them say which items came together, and
lead a contrastive loss astray. Group norms look at each row by itself.
"""

from __future__ import annotations

import tf_keras

# Channels of a group, where they divide those of the layer; else all are one group.
CHANNELS = 8


def grouped(model: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy whose batch norms are group norms of the same names.

    Scales and offsets begin as they did; the other layers keep their weights.

    References: Wu and He, 2018, arXiv 1803.08494.
    """
    copy = tf_keras.models.clone_model(model, clone_function=_replaced)
    for old, new in zip(model.layers, copy.layers, strict=True):
        if type(new) is type(old):
            new.set_weights(old.get_weights())
    return copy


def _replaced(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if not isinstance(layer, tf_keras.layers.BatchNormalization):
        return type(layer).from_config(layer.get_config())
    channels = layer.gamma.shape[0]
    return tf_keras.layers.GroupNormalization(
        channels // CHANNELS if channels % CHANNELS == 0 else 1,
        epsilon=layer.epsilon,
        gamma_initializer=layer.gamma_initializer,
        beta_initializer=layer.beta_initializer,
        name=layer.name,
    )
