"""One converter per Keras layer class: a layer -> nodes of the layer graph."""

from __future__ import annotations

import math

import tf_keras

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


def batch_normalization(context) -> str:
    layer, rank = context.layer, len(context.shape) + 1
    axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axis not in ([-1], [rank - 1]):
        raise context.refuse(f"axis {axis} is not the last one", "axis=-1")
    return context.add(
        "batch_norm",
        context.shape,
        {
            "epsilon": float(layer.epsilon),
            "momentum": float(layer.momentum),
            "fused": bool(layer.fused),
            "statistics": context.statistics,
        },
        {
            "gamma": layer.gamma,
            "beta": layer.beta,
            "moving_mean": layer.moving_mean,
            "moving_variance": layer.moving_variance,
        },
    )


def relu(context) -> str:
    layer = context.layer
    limit = None if layer.max_value is None else float(layer.max_value)
    if layer.negative_slope or layer.threshold or limit not in (None, 6.0):
        raise context.refuse(
            f"max_value {layer.max_value}, negative_slope {layer.negative_slope}, "
            f"threshold {layer.threshold}",
            "max_value None or 6, the others 0",
        )
    return context.add("relu", context.shape, {"limit": limit})


def activation_layer(context) -> str:
    return activation(context, context.layer.activation, suffix="")


def softmax(context) -> str:
    return context.add("softmax", context.shape)


def activation(context, function, suffix: str = "/activation") -> str:
    """Adds the node of a layer's activation function, none for a linear one."""
    name = tf_keras.activations.serialize(function)
    name = name if isinstance(name, str) else getattr(function, "__name__", str(name))
    if name == "linear":
        return context.inputs[0]
    if name not in ACTIVATIONS:
        raise context.refuse(
            f"activation {name!r} has no lowering", f"one of {sorted(ACTIVATIONS)}"
        )
    op, attributes = ACTIVATIONS[name]
    return context.add(op, context.shape, attributes, suffix=suffix)


def global_average_pooling2d(context) -> str:
    shape = context.shape
    out = (1, 1, shape[-1]) if context.layer.keepdims else shape[-1:]
    return context.add("global_average_pool", out, {"input": shape})


def add(context) -> str:
    shapes = {context.builder.shape(name) for name in context.inputs}
    if len(shapes) != 1:
        raise context.refuse(f"inputs of shapes {sorted(shapes)}", "equal shapes")
    return context.add("add", context.shape)


def reshape(context) -> str:
    shape = context.layer.compute_output_shape((None, *context.shape))[1:]
    return context.add("reshape", shape, {"input": context.shape})


def zero_padding2d(context) -> str:
    padding = tuple(map(tuple, context.layer.padding))
    h, w, c = context.shape
    shape = (h + sum(padding[0]), w + sum(padding[1]), c)
    return context.add("zero_pad", shape, {"padding": padding, "input": context.shape})


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


ACTIVATIONS = {
    "relu": ("relu", {"limit": None}),
    "relu6": ("relu", {"limit": 6.0}),
    "softmax": ("softmax", {}),
}

CONVERTERS = {
    "Activation": activation_layer,
    "Add": add,
    "BatchNormalization": batch_normalization,
    "Conv2D": conv2d,
    "Dense": dense,
    "DepthwiseConv2D": depthwise_conv2d,
    "Flatten": reshape,
    "GlobalAveragePooling2D": global_average_pooling2d,
    "ReLU": relu,
    "Reshape": reshape,
    "Softmax": softmax,
    "ZeroPadding2D": zero_padding2d,
}
