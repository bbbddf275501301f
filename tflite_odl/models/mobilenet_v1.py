"""MobileNet: depthwise-separable layers."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image, scaled

_LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
_TAIL = ((1024, 2), (1024, 1))


def mobilenet_v1(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    alpha: float = 0.25,
    depth: int = 5,
) -> tf_keras.Model:
    """Returns a MobileNet.

    Args:
      input_shape: [H, W, C], H and W of 32 or more.
      alpha: width, 1 for the paper's channels.
      depth: 512-channel layers of stride 1, 5 in the paper.

    References: Howard et al., 2017, arXiv 1704.04861.
    """
    make, x = Blocks(seed), image(input_shape, 32)
    y = make.norm_relu(make.conv(x, scaled(32 * alpha), 3, "stem_conv", 2), "stem", 6.0)
    layers = (*_LAYERS, *((512, 1),) * depth, *_TAIL)
    for number, (filters, strides) in enumerate(layers, 1):
        y = make.depthwise(y, f"l{number}_depthwise", strides=strides)
        y = make.norm_relu(y, f"l{number}_depthwise", 6.0)
        y = make.conv(y, scaled(filters * alpha), 1, f"l{number}_conv")
        y = make.norm_relu(y, f"l{number}_conv", 6.0)
    return tf_keras.Model(x, make.logits(y, num_classes), name="mobilenet_v1")
