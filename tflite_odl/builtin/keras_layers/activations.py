"""Activation layers, and the activation functions of other layers."""

from __future__ import annotations

import tf_keras

ACTIVATIONS = {
    "relu": ("relu", {"limit": None}),
    "relu6": ("relu", {"limit": 6.0}),
    "softmax": ("softmax", {}),
}


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


CONVERTERS = {
    "Activation": activation_layer,
    "ReLU": relu,
    "Softmax": softmax,
}
