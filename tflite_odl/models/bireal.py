"""A net whose every inner layer has a shortcut of its own, for binary students."""

from __future__ import annotations

from typing import Any

import tf_keras
from tf_keras import layers as kl

from tflite_odl.errors import ModelError
from tflite_odl.models.blocks import Blocks, image

SHORTEST, WINDOW_KERNEL = 4, 5


def bireal(
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    depth: int = 20,
    width: int = 16,
) -> tf_keras.Model:
    """Returns a net of three stages of layers.

        h -> shortcut(relu(h)) + BN(conv(relu(h)))

    A binary layer puts out few distinct values: a shortcut past each layer, not past
    two as in a ResNet, carries real ones on. Where a stage begins, the shortcut is an
    average pool and the channels twice, so that no layer of it needs to be binary. No
    maximum is taken, for sums of signs tie.

    Args:
      input_shape: [H, W, C] of an image, H and W of 4 or more, or [T, C] of a window,
        T of 4 or more, with convolutions of length 5.
      depth: 6 n + 2: 2 n layers in each stage.
      width: channels of the first stage; the next two have 2 and 4 times as many.

    References: Liu et al., 2018, arXiv 1808.00278 (Bi-Real Net); Liu et al., 2020,
    arXiv 2003.03488 (channels twice).
    """
    if depth < 8 or depth % 6 != 2 or width < 1:
        raise ModelError(
            f"depth is {depth}, needs 8, 14, 20, ...; width is {width}, needs 1 or more"
        )
    make, x = Blocks(seed), _input(input_shape)
    h = make.norm(_conv(make, x, width, 1, "stem_conv"), "stem_bn")
    layers = (depth - 2) // 3
    # So that variances do not double with each layer.
    gamma = (3 * layers) ** -0.5
    for stage in range(3):
        for layer in range(layers):
            name, strides = (
                f"s{stage + 1}_l{layer + 1}",
                2 if stage and not layer else 1,
            )
            h = _layer(make, h, width << stage, strides, gamma, name)
    y = kl.ReLU(name="last_relu")(h)
    mean = kl.GlobalAveragePooling1D if _window(y) else kl.GlobalAveragePooling2D
    y = make.dense(mean(name="pool")(y), num_classes, "logits")
    return tf_keras.Model(x, y, name=f"bireal{depth}")


def _input(shape: tuple[int, ...]) -> Any:
    if len(shape) != 2:
        return image(shape, SHORTEST)
    if shape[0] < SHORTEST:
        raise ModelError(
            f"input_shape is {list(shape)}, needs [T, C] with T of {SHORTEST} or more"
        )
    return tf_keras.Input(shape, name="x")


def _window(x: Any) -> bool:
    """Whether a symbolic tensor is [B, T, C]."""
    return len(x.shape) == 3


def _conv(make: Blocks, x: Any, filters: int, strides: int, name: str) -> Any:
    if _window(x):
        return make.conv1d(x, filters, WINDOW_KERNEL, name, strides)
    return make.conv(x, filters, 3, name, strides)


def _layer(
    make: Blocks, h: Any, filters: int, strides: int, gamma: float, name: str
) -> Any:
    x = kl.ReLU(name=f"{name}_relu")(h)
    y = make.norm(_conv(make, x, filters, strides, f"{name}_conv"), f"{name}_bn", gamma)
    if strides > 1:
        pool = kl.AveragePooling1D if _window(x) else kl.AveragePooling2D
        x = pool(strides, padding="same", name=f"{name}_pool")(x)
        x = kl.Concatenate(name=f"{name}_twice")([x, x])
    return kl.Add(name=f"{name}_add")([x, y])
