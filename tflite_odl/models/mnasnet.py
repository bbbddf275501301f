"""MNASNet-small: inverted residuals found by search for a phone's latency."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image, scaled
from tflite_odl.models.inverted import Stage, stages

# expansion, channels, blocks, stride, kernel
_TABLE = (
    (1, 8, 1, 1, 3),
    (3, 16, 1, 2, 3),
    (6, 16, 2, 2, 3),
    (6, 32, 4, 2, 5),
    (6, 32, 3, 1, 3),
    (6, 88, 3, 2, 5),
    (6, 144, 1, 1, 3),
)


def mnasnet(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    alpha: float = 1.0,
    depth: float = 1.0,
) -> tf_keras.Model:
    """Returns an MNASNet-small without its squeeze-and-excitation parts.

    Args:
      input_shape: [H, W, C], H and W of 32 or more.
      alpha: width.
      depth: factor of each stage's number of blocks, at least one each.

    References: Tan et al., 2019, arXiv 1807.11626.
    """
    make, x = Blocks(seed), image(input_shape, 32)
    plan = tuple(
        Stage(e, scaled(channels * alpha), max(1, round(blocks * depth)), s, k)
        for e, channels, blocks, s, k in _TABLE
    )
    y = make.norm_relu(make.conv(x, scaled(8 * alpha), 3, "stem_conv", 2), "stem")
    y = stages(make, y, plan, limit=None)
    y = make.norm_relu(make.conv(y, scaled(1280 * alpha), 1, "last_conv"), "last")
    return tf_keras.Model(x, make.logits(y, num_classes), name="mnasnet")
