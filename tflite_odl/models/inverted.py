"""The inverted residual block, of MobileNetV2 and MNASNet."""

from __future__ import annotations

import dataclasses

import tf_keras

from tflite_odl.models.blocks import Blocks


@dataclasses.dataclass(frozen=True)
class Stage:
    """Some blocks alike: expansion, output channels, count, first stride, kernel."""

    expansion: int
    channels: int
    blocks: int
    strides: int
    kernel: int = 3


def stages(make: Blocks, x, plan: tuple[Stage, ...], limit: float | None = 6.0):
    """Returns the stages applied to x; layers of block n are named `block<n>_...`."""
    number = 0
    for stage in plan:
        for repeat in range(stage.blocks):
            number += 1
            strides = 1 if repeat else stage.strides
            x = _block(make, x, stage, strides, f"block{number}", limit)
    return x


def _block(make: Blocks, x, stage: Stage, strides: int, name: str, limit):
    """Returns x expanded, filtered by a depthwise layer and projected, linearly."""
    y = x
    if stage.expansion != 1:
        y = make.conv(y, x.shape[-1] * stage.expansion, 1, f"{name}_expand")
        y = make.norm_relu(y, f"{name}_expand", limit)
    y = make.depthwise(y, f"{name}_depthwise", stage.kernel, strides)
    y = make.norm_relu(y, f"{name}_depthwise", limit)
    y = make.conv(y, stage.channels, 1, f"{name}_project")
    y = make.norm(y, f"{name}_project_bn")
    if strides != 1 or x.shape[-1] != stage.channels:
        return y
    return tf_keras.layers.Add(name=f"{name}_add")([x, y])
