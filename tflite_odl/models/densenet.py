"""DenseNet: each layer sees all before it."""

from __future__ import annotations

import tf_keras

from tflite_odl.models.blocks import Blocks, image


def densenet(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 4,
    width: int = 12,
) -> tf_keras.Model:
    """Returns a DenseNet-BC of three dense blocks for small images.

    Args:
      input_shape: [H, W, C], H and W of 8 or more.
      depth: layers of each dense block.
      width: growth, the channels each layer adds.

    References: Huang et al., 2017, arXiv 1608.06993.
    """
    make, x = Blocks(seed), image(input_shape, 8)
    y = make.conv(x, 2 * width, 3, "stem_conv")
    for block in range(1, 4):
        for layer in range(1, depth + 1):
            y = _layer(make, y, width, f"block{block}_l{layer}")
        if block < 3:
            y = _transition(make, y, f"transition{block}")
    return tf_keras.Model(
        x, make.logits(make.norm_relu(y, "last"), num_classes), name="densenet"
    )


def _layer(make: Blocks, x, growth: int, name: str):
    """Returns x and, beside it, `growth` new channels from a 1x1 and a 3x3 layer."""
    y = make.norm_relu(x, f"{name}_1")
    y = make.conv(y, 4 * growth, 1, f"{name}_conv1")
    y = make.norm_relu(y, f"{name}_2")
    y = make.conv(y, growth, 3, f"{name}_conv2")
    return tf_keras.layers.Concatenate(name=f"{name}_concat")([x, y])


def _transition(make: Blocks, x, name: str):
    """Returns x at half the channels and half the size."""
    y = make.norm_relu(x, name)
    y = make.conv(y, x.shape[-1] // 2, 1, f"{name}_conv")
    return tf_keras.layers.AveragePooling2D(2, name=f"{name}_pool")(y)
