"""Dense and convolution layers."""

from __future__ import annotations

import math

from tflite_odl.builtin.keras_layers.activations import activation
from tflite_odl.builtin.space import Window, same_padding


def dense(context) -> str:
    layer = context.layer
    context.add(
        "dense",
        (*context.shape[:-1], layer.units),
        weights={"kernel": layer.kernel, "bias": layer.bias},
    )
    return activation(context, layer.activation)


def conv2d(context) -> str:
    layer = context.layer
    attributes = {**window(context), "groups": layer.groups}
    context.add(
        "conv2d",
        (*_out(attributes), layer.filters),
        attributes,
        {"kernel": layer.kernel, "bias": layer.bias},
    )
    return activation(context, layer.activation)


def depthwise_conv2d(context) -> str:
    layer = context.layer
    attributes = {**window(context), "multiplier": layer.depth_multiplier}
    context.add(
        "depthwise",
        (*_out(attributes), context.shape[-1] * layer.depth_multiplier),
        attributes,
        {"kernel": layer.depthwise_kernel, "bias": layer.bias},
    )
    return activation(context, layer.activation)


def window(context) -> dict:
    """Returns the attributes of a sliding window: size, kernel, strides, padding..."""
    layer, size = context.layer, tuple(context.shape[:2])
    kernel, strides = tuple(layer.kernel_size), tuple(layer.strides)
    dilation = tuple(layer.dilation_rate)
    padding = ((0, 0), (0, 0))
    if layer.padding == "same":
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        padding = tuple(map(same_padding, size, reach, strides))
    found = {
        "size": size,
        "kernel": kernel,
        "strides": strides,
        "padding": padding,
        "dilation": dilation,
    }
    if math.prod(_out(found)) < 1:
        raise context.refuse(f"kernel {kernel} on an input of {size}", "a larger input")
    return found


def _out(a: dict) -> tuple[int, int]:
    return Window(a["size"], a["kernel"], a["strides"], a["padding"], a["dilation"]).out


CONVERTERS = {
    "Conv2D": conv2d,
    "Dense": dense,
    "DepthwiseConv2D": depthwise_conv2d,
}
