"""Convolution layers, over images and over sequences."""

from __future__ import annotations

from tflite_odl.reading.layers.activations import activation
from tflite_odl.reading.layers.windows import window


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


def separable(depthwise_op: str, op: str):
    """Returns the converter of a depthwise convolution and a 1x1 one behind it."""

    def convert(context) -> str:
        layer = context.layer
        attributes, out = window(
            context, layer.kernel_size, layer.strides, layer.dilation_rate
        )
        multiplier = layer.depth_multiplier
        context.add(
            depthwise_op,
            (*out, context.shape[-1] * multiplier),
            {**attributes, "multiplier": multiplier},
            {"kernel": layer.depthwise_kernel},
            suffix="/depthwise",
        )
        ones = (1,) * len(out)
        attributes, _ = window(context, ones, ones, ones)
        context.add(
            op,
            (*out, layer.filters),
            {**attributes, "groups": 1},
            {"kernel": layer.pointwise_kernel, "bias": layer.bias},
            suffix="/pointwise",
        )
        return activation(context, layer.activation)

    return convert


def transposed(op: str):
    """Returns the converter of a transposed convolution by an op.

    The attributes are those of the convolution that leads back, from y to x.
    """

    def convert(context) -> str:
        layer, size = context.layer, context.shape[:-1]
        if {*layer.kernel_size} == {1} != {*layer.strides}:
            # TensorFlow's own gradient of it corrupts the heap (2.21, with oneDNN).
            raise context.refuse(
                f"kernel {layer.kernel_size} with strides {layer.strides}",
                "a kernel as large as the strides",
            )
        shape = tuple(layer.compute_output_shape((None, *context.shape)))[1:]
        attributes, back = window(
            context, layer.kernel_size, layer.strides, layer.dilation_rate, shape[:-1]
        )
        if back != size:
            raise context.refuse(
                f"output_padding {layer.output_padding} with these strides and padding",
                "output_padding None",
            )
        context.add(op, shape, attributes, {"kernel": layer.kernel, "bias": layer.bias})
        return activation(context, layer.activation)

    return convert


CONVERTERS = {
    "Conv1D": convolution("conv1d"),
    "Conv1DTranspose": transposed("conv1d_transpose"),
    "Conv2D": convolution("conv2d"),
    "Conv2DTranspose": transposed("conv2d_transpose"),
    "DepthwiseConv1D": depthwise("depthwise1d"),
    "DepthwiseConv2D": depthwise("depthwise"),
    "SeparableConv1D": separable("depthwise1d", "conv1d"),
    "SeparableConv2D": separable("depthwise", "conv2d"),
}
