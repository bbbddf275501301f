"""SqueezeNet: fire modules, few parameters."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image


def squeezenet(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 2,
    width: int = 16,
) -> tf_keras.Model:
    """Returns a SqueezeNet with batch norms, for small images.

    Args:
      input_shape: [H, W, C], H and W of 8 or more.
      depth: fire modules in each of three stages.
      width: channels of the first squeeze layer; those of stage n have n times as many.

    References: Iandola et al., 2016, arXiv 1602.07360.
    """
    make, x = Blocks(seed), image(input_shape, 8)
    y = make.norm_relu(make.conv(x, 4 * width, 3, "stem_conv", 2), "stem")
    for stage in range(1, 4):
        for module in range(1, depth + 1):
            y = _fire(make, y, width * stage, f"s{stage}_fire{module}")
        if stage < 3:
            y = tf_keras.layers.MaxPooling2D(2, name=f"s{stage}_pool")(y)
    return tf_keras.Model(x, make.logits(y, num_classes), name="squeezenet")


def _fire(make: Blocks, x, width: int, name: str):
    """Returns a 1x1 squeeze to `width`, then 1x1 and 3x3 expansions side by side."""
    y = make.norm_relu(make.conv(x, width, 1, f"{name}_squeeze"), f"{name}_squeeze")
    one = make.norm_relu(make.conv(y, 4 * width, 1, f"{name}_one"), f"{name}_one")
    three = make.norm_relu(make.conv(y, 4 * width, 3, f"{name}_three"), f"{name}_three")
    return tf_keras.layers.Concatenate(name=f"{name}_concat")([one, three])
