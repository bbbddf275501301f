"""A 1-D convolutional net for windows of inertial sensors."""

from __future__ import annotations

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks


def inertial(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 3,
    width: int = 32,
) -> tf_keras.Model:
    """Returns a net of convolutions over time for [T, C], such as [128, 6].

    Args:
      input_shape: [T, C], T of 2 ** depth or more: each layer halves the time.
      depth: convolutions of length 5.
      width: channels of the first; the others have twice as many.
    """
    if len(input_shape) != 2 or input_shape[0] < 2**depth:
        raise ModelError(
            f"input_shape is {list(input_shape)}, needs [T, C] with T of {2**depth} "
            "or more"
        )
    make, x = Blocks(seed), tf_keras.Input(input_shape, name="x")
    y = x
    for number in range(1, depth + 1):
        filters = width if number == 1 else 2 * width
        y = make.norm_relu(make.conv1d(y, filters, 5, f"l{number}_conv"), f"l{number}")
        y = tf_keras.layers.MaxPooling1D(2, name=f"l{number}_pool")(y)
    y = tf_keras.layers.GlobalAveragePooling1D(name="pool")(y)
    return tf_keras.Model(x, make.dense(y, num_classes, "logits"), name="inertial")
