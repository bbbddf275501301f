"""ResNet whose every 3x3 layer has a shortcut of its own, for binary students."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks, image


def bireal(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 20,
    width: int = 16,
) -> tf_keras.Model:
    """Returns a net of three stages of layers h -> shortcut(relu(h)) + BN(conv(relu(h))).

    A binary layer puts out few distinct values: a shortcut past each layer, not past
    two as in a ResNet, carries real ones on. Where a stage begins, the shortcut is an
    average pool and the channels twice, so that no layer of it needs to be binary.

    Args:
      input_shape: [H, W, C], H and W of 4 or more.
      depth: 6 n + 2: 2 n layers in each stage.
      width: channels of the first stage; the next two have 2 and 4 times as many.

    References: Liu et al., 2018, arXiv 1808.00278 (Bi-Real Net); Liu et al., 2020,
    arXiv 2003.03488 (channels twice).
    """
    if depth < 8 or depth % 6 != 2 or width < 1:
        raise ModelError(
            f"depth is {depth}, needs 8, 14, 20, ...; width is {width}, needs 1 or more"
        )
    make, x = Blocks(seed), image(input_shape, 4)
    h = make.norm(make.conv(x, width, 3, "stem_conv"), "stem_bn")
    layers = (depth - 2) // 3
    # So that variances do not double with each layer.
    gamma = (3 * layers) ** -0.5
    for stage in range(3):
        for layer in range(layers):
            name, shrinks = f"s{stage + 1}_l{layer + 1}", bool(stage and not layer)
            h = _layer(make, h, width << stage, shrinks, gamma, name)
    y = tf_keras.layers.ReLU(name="last_relu")(h)
    return tf_keras.Model(x, make.logits(y, num_classes), name=f"bireal{depth}")


def _layer(
    make: Blocks, h: Any, filters: int, shrinks: bool, gamma: float, name: str
) -> Any:
    x = tf_keras.layers.ReLU(name=f"{name}_relu")(h)
    y = make.conv(x, filters, 3, f"{name}_conv", 2 if shrinks else 1)
    y = make.norm(y, f"{name}_bn", gamma)
    if shrinks:
        x = tf_keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
        x = tf_keras.layers.Concatenate(name=f"{name}_twice")([x, x])
    return tf_keras.layers.Add(name=f"{name}_add")([x, y])
