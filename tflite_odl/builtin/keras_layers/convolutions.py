"""Convolution layers, over images and over sequences."""

from __future__ import annotations

from tflite_odl.builtin.keras_layers.activations import activation
from tflite_odl.builtin.keras_layers.windows import window


def convolution(op: str):
    """Returns the converter of a convolution by an op."""

    def convert(context) -> str:
        layer = context.layer
        attributes, out = window(
            context, layer.kernel_size, layer.strides, layer.dilation_rate
        )
        context.add(
            op,
            (*out, layer.filters),
            {**attributes, "groups": layer.groups},
            {"kernel": layer.kernel, "bias": layer.bias},
        )
        return activation(context, layer.activation)

    return convert


def depthwise(op: str):
    """Returns the converter of a depthwise convolution by an op."""

    def convert(context) -> str:
        layer = context.layer
        attributes, out = window(
            context, layer.kernel_size, layer.strides, layer.dilation_rate
        )
        context.add(
            op,
            (*out, context.shape[-1] * layer.depth_multiplier),
            {**attributes, "multiplier": layer.depth_multiplier},
            {"kernel": layer.depthwise_kernel, "bias": layer.bias},
        )
        return activation(context, layer.activation)

    return convert


CONVERTERS = {
    "Conv1D": convolution("conv1d"),
    "Conv2D": convolution("conv2d"),
    "DepthwiseConv1D": depthwise("depthwise1d"),
    "DepthwiseConv2D": depthwise("depthwise"),
}
