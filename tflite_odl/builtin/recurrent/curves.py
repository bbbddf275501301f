"""The activations of recurrent cells, with slopes as functions of their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tflite_odl.builtin.masks import positive


class Curve(NamedTuple):
    """y = value(x); dy / dx = slope(y)."""

    value: Callable[[tf.Tensor], tf.Tensor]
    slope: Callable[[tf.Tensor], tf.Tensor]


def _hard(x: tf.Tensor) -> tf.Tensor:
    return tf.minimum(tf.nn.relu(x * 0.2 + 0.5), 1.0)


CURVES = {
    "tanh": Curve(tf.tanh, lambda y: 1.0 - y * y),
    "sigmoid": Curve(tf.sigmoid, lambda y: y - y * y),
    "relu": Curve(tf.nn.relu, positive),
    "linear": Curve(lambda x: x, tf.ones_like),
    "hard_sigmoid": Curve(_hard, lambda y: positive(y - y * y) * 0.2),
}
