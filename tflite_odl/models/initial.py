"""Initial weights that depend on a seed and the layer's name, and on nothing global."""

from __future__ import annotations

import math
import zlib

import tf_keras


def glorot(seed: int, name: str) -> tf_keras.initializers.Initializer:
    """Returns Glorot's uniform initializer (2010) for a layer without relu."""
    return tf_keras.initializers.GlorotUniform(_mixed(seed, name))


def he(seed: int, name: str) -> tf_keras.initializers.Initializer:
    """Returns He's normal initializer (arXiv 1502.01852), for layers before relu."""
    return tf_keras.initializers.HeNormal(_mixed(seed, name))


def he_depthwise(seed: int, name: str, taps: int) -> tf_keras.initializers.Initializer:
    """Returns He's normal initializer for a filter of so many taps for each channel.

    Keras counts the taps of all channels, which makes depthwise outputs vanish.
    """
    deviation = math.sqrt(2.0 / taps)
    return tf_keras.initializers.TruncatedNormal(0.0, deviation, _mixed(seed, name))


def _mixed(seed: int, name: str) -> int:
    """Returns a seed of 31 bits, different for each layer's name."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF
