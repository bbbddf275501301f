"""A multi-layer perceptron."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks


def mlp(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 1,
    width: int = 64,
) -> tf_keras.Model:
    """Returns `depth` dense relu layers of `width` units before the classifier."""
    make, x = Blocks(seed), tf_keras.Input(input_shape, name="x")
    y = tf_keras.layers.Flatten(name="flatten")(x) if len(input_shape) > 1 else x
    for number in range(1, depth + 1):
        y = make.dense(y, width, f"hidden{number}", "relu")
    return tf_keras.Model(x, make.dense(y, num_classes, "logits"), name="mlp")
