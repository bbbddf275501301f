"""ShuffleNet: grouped 1x1 layers with a channel shuffle between them."""

from __future__ import annotations

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks, image


def shufflenet(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 2,
    width: int = 48,
    groups: int = 2,
) -> tf_keras.Model:
    """Returns a ShuffleNet for small images.

    Args:
      input_shape: [H, W, C], H and W of 8 or more.
      depth: units in each of three stages; the first of each halves the size.
      width: channels of the first stage, a multiple of 8 `groups`; doubled twice.
      groups: of the 1x1 layers.

    References: Zhang et al., 2018, arXiv 1707.01083.
    """
    if groups < 1 or width % (8 * groups):
        raise ModelError(f"width is {width}, needs a multiple of 8 x {groups} groups")
    make, x = Blocks(seed), image(input_shape, 8)
    y = make.norm_relu(make.conv(x, width // 2, 3, "stem_conv"), "stem")
    for stage in range(3):
        for unit in range(depth):
            strides = 1 if unit else 2
            name = f"s{stage + 1}_u{unit + 1}"
            y = _unit(make, y, width << stage, strides, groups, name)
    return tf_keras.Model(x, make.logits(y, num_classes), name="shufflenet")


def _unit(make: Blocks, x, filters: int, strides: int, groups: int, name: str):
    """Returns relu(x + y), at stride 2 relu([pooled x, y]); y is the grouped part."""
    added = filters if strides == 1 else filters - x.shape[-1]
    y = make.conv(x, filters // 4, 1, f"{name}_conv1", groups=groups)
    y = _shuffle(make.norm_relu(y, f"{name}_1"), groups, f"{name}_shuffle")
    y = make.norm(make.depthwise(y, f"{name}_depthwise", 3, strides), f"{name}_2_bn")
    y = make.conv(y, added, 1, f"{name}_conv2", groups=groups)
    y = make.norm(y, f"{name}_3_bn")
    if strides == 1:
        y = tf_keras.layers.Add(name=f"{name}_add")([x, y])
    else:
        pool = tf_keras.layers.AveragePooling2D(3, 2, "same", name=f"{name}_pool")
        y = tf_keras.layers.Concatenate(name=f"{name}_concat")([pool(x), y])
    return tf_keras.layers.ReLU(name=f"{name}_relu")(y)


def _shuffle(x, groups: int, name: str):
    """Returns x [B, H, W, C] with channel (g, i) moved to (i, g)."""
    h, w, c = x.shape[1:]
    y = tf_keras.layers.Reshape((h * w, groups, c // groups), name=f"{name}_split")(x)
    y = tf_keras.layers.Permute((1, 3, 2), name=name)(y)
    return tf_keras.layers.Reshape((h, w, c), name=f"{name}_join")(y)
