"""DS-CNN: keyword spotting on a spectrogram."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image


def keyword(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 4,
    width: int = 64,
) -> tf_keras.Model:
    """Returns a depthwise-separable net for [T, F, 1], such as 49 x 10 MFCCs.

    Args:
      input_shape: [T, F, C], each of 4 or more in time and frequency.
      depth: depthwise-separable layers after the first convolution.
      width: channels of every layer.

    References: Zhang et al., 2017, arXiv 1711.07128.
    """
    make, x = Blocks(seed), image(input_shape, 4)
    y = make.norm_relu(make.conv(x, width, (10, 4), "stem_conv", 2), "stem")
    for number in range(1, depth + 1):
        y = make.depthwise(y, f"l{number}_depthwise")
        y = make.norm_relu(y, f"l{number}_depthwise")
        y = make.conv(y, width, 1, f"l{number}_conv")
        y = make.norm_relu(y, f"l{number}_conv")
    return tf_keras.Model(x, make.logits(y, num_classes), name="keyword")
