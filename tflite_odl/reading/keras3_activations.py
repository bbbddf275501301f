"""Activations that Keras 3 computes otherwise than tf_keras, or that it alone has."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

# Copies of a model find the functions by these names.
_registered = tf_keras.saving.register_keras_serializable("tflite_odl")


@_registered
def hard_sigmoid_of_keras3(x: tf.Tensor) -> tf.Tensor:
    """Returns relu6(x + 3) / 6, where tf_keras has 0.2 x + 0.5 between 0 and 1."""
    return tf.nn.relu6(x + 3.0) * (1 / 6)


@_registered
def hard_silu_of_keras3(x: tf.Tensor) -> tf.Tensor:
    """Returns x relu6(x + 3) / 6, also named hard_swish."""
    return x * hard_sigmoid_of_keras3(x)


# Keras 3's name -> what a tf_keras layer takes as its activation.
TWINS = {
    "hard_sigmoid": hard_sigmoid_of_keras3,
    "hard_silu": hard_silu_of_keras3,
    "hard_swish": hard_silu_of_keras3,
    "leaky_relu": tf.nn.leaky_relu,
    "relu6": tf.nn.relu6,
    "silu": tf_keras.activations.swish,
}
