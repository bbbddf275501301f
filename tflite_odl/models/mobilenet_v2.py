"""MobileNetV2: inverted residuals with linear bottlenecks."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image, scaled
from tflite_odl.models.inverted import Stage, stages

# expansion, channels, blocks, stride: the paper's table 2
_TABLE = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    alpha: float = 0.35,
    depth: float = 1.0,
) -> tf_keras.Model:
    """Returns a MobileNetV2.

    Args:
      input_shape: [H, W, C], H and W of 32 or more.
      alpha: width, 1 for the paper's channels; the last layer keeps 1280.
      depth: factor of each stage's number of blocks, at least one each.

    References: Sandler et al., 2018, arXiv 1801.04381.
    """
    make, x = Blocks(seed), image(input_shape, 32)
    plan = tuple(
        Stage(
            expansion, scaled(channels * alpha), max(1, round(blocks * depth)), strides
        )
        for expansion, channels, blocks, strides in _TABLE
    )
    y = make.norm_relu(make.conv(x, scaled(32 * alpha), 3, "stem_conv", 2), "stem", 6.0)
    y = stages(make, y, plan)
    y = make.conv(y, scaled(1280 * max(alpha, 1.0)), 1, "last_conv")
    y = make.norm_relu(y, "last", 6.0)
    return tf_keras.Model(x, make.logits(y, num_classes), name="mobilenet_v2")
