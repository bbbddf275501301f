"""ResNet for small images."""

from __future__ import annotations

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks, image


def resnet(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 8,
    width: int = 16,
) -> tf_keras.Model:
    """Returns a CIFAR-style ResNet: three stages of residual blocks of two 3x3 layers.

    Args:
      input_shape: [H, W, C], H and W of 4 or more.
      depth: 6 n + 2: n blocks in each stage.
      width: channels of the first stage; the next two have 2 and 4 times as many.

    The batch norm that ends a block begins with gamma = 1 / sqrt(number of blocks), so
    that variances do not double with each: a ResNet-20's first logits are 3, not 62.

    References: He et al., 2016, arXiv 1512.03385.
    """
    if depth < 8 or depth % 6 != 2 or width < 1:
        raise ModelError(
            f"depth is {depth}, needs 8, 14, 20, ...; width is {width}, needs 1 or more"
        )
    make, x = Blocks(seed), image(input_shape, 4)
    y = make.norm_relu(make.conv(x, width, 3, "stem_conv"), "stem")
    blocks = (depth - 2) // 6
    gamma = (3 * blocks) ** -0.5
    for stage in range(3):
        for block in range(blocks):
            strides, name = (
                2 if stage and not block else 1,
                f"s{stage + 1}_b{block + 1}",
            )
            y = _block(make, y, width << stage, strides, gamma, name)
    return tf_keras.Model(x, make.logits(y, num_classes), name=f"resnet{depth}")


def _block(make: Blocks, x, filters: int, strides: int, gamma: float, name: str):
    """Returns relu(shortcut(x) + BN(conv(relu(BN(conv(x))))))."""
    y = make.conv(x, filters, 3, f"{name}_conv1", strides)
    y = make.norm_relu(y, f"{name}_1")
    y = make.norm(make.conv(y, filters, 3, f"{name}_conv2"), f"{name}_2_bn", gamma)
    if strides != 1 or x.shape[-1] != filters:
        x = make.conv(x, filters, 1, f"{name}_shortcut", strides)
    y = tf_keras.layers.Add(name=f"{name}_add")([x, y])
    return tf_keras.layers.ReLU(name=f"{name}_relu")(y)
