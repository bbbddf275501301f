"""Activation layers, and the activation functions of other layers."""

from __future__ import annotations

import tf_keras

from tflite_odl.builtin.smooth import SELU_ALPHA, SELU_SCALE
from tflite_odl.reading.keras3_activations import (
    hard_sigmoid_of_keras3,
    hard_silu_of_keras3,
)

_ELU = {"scale": 1.0, "alpha": 1.0, "right_at_zero": False}
_SELU = {"scale": SELU_SCALE, "alpha": SELU_ALPHA, "right_at_zero": True}

ACTIVATIONS = {
    "elu": ("elu", _ELU),
    "exponential": ("exponential", {}),
    "gelu": ("gelu", {}),
    "hard_sigmoid": ("hard_sigmoid", {}),
    "leaky_relu": ("leaky_relu", {"alpha": 0.2}),
    "mish": ("mish", {}),
    "relu": ("relu", {"limit": None}),
    "relu6": ("relu", {"limit": 6.0}),
    "selu": ("elu", _SELU),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "softmax": ("softmax", {}),
    "softplus": ("softplus", {}),
    "softsign": ("softsign", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
}


def relu(context) -> str:
    layer = context.layer
    return add_relu(context, layer.max_value, layer.negative_slope, layer.threshold)


def add_relu(context, limit=None, alpha=0.0, threshold=0.0) -> str:
    """Adds Keras' relu with all its options, as the cheapest op that has them."""
    limit = None if limit is None else float(limit)
    alpha, threshold = float(alpha or 0.0), float(threshold or 0.0)
    if not alpha and not threshold and limit in (None, 6.0):
        return context.add("relu", context.shape, {"limit": limit})
    if limit is None and not threshold:
        return context.add("leaky_relu", context.shape, {"alpha": alpha})
    attributes = {"limit": limit, "alpha": alpha, "threshold": threshold}
    return context.add("thresholded_relu", context.shape, attributes)


def thresholded_relu(context) -> str:
    return add_relu(context, threshold=context.layer.theta)


def leaky_relu(context) -> str:
    return add_relu(context, alpha=context.layer.alpha)


def elu(context) -> str:
    alpha = float(context.layer.alpha)
    return context.add("elu", context.shape, {**_ELU, "alpha": alpha})


def prelu(context) -> str:
    return context.add("prelu", context.shape, weights={"alpha": context.layer.alpha})


def softmax(context) -> str:
    axis = context.layer.axis
    if not isinstance(axis, int):
        if len(axis) != 1:
            raise context.refuse(f"softmax over the axes {list(axis)}", "one axis")
        (axis,) = axis
    return add_softmax(context, axis)


def add_softmax(context, axis: int) -> str:
    """Adds a softmax; one over another axis than the last between two transposes."""
    shape, rank = context.shape, len(context.shape)
    axis = axis % (rank + 1)
    if axis == 0:
        raise context.refuse("softmax over the batch", "another axis")
    if axis == rank:
        return context.add("softmax", shape)
    order = [*range(1, rank + 1)]
    order[axis - 1], order[-1] = order[-1], order[axis - 1]
    swapped = [shape[k - 1] for k in order]
    context.add("permute", swapped, {"order": order}, suffix="/swapped")
    context.add("softmax", swapped, suffix="/softmax")
    return context.add("permute", shape, {"order": order})


def activation_layer(context) -> str:
    return activation(context, context.layer.activation, suffix="")


def activation(context, function, suffix: str = "/activation") -> str:
    """Adds the node of a layer's activation function, none for a linear one."""
    if function is hard_sigmoid_of_keras3:
        return context.add("relu6_sigmoid", context.shape, suffix=suffix)
    if function is hard_silu_of_keras3:
        return _times_gate(context, suffix)
    name = name_of(function)
    if name == "linear":
        return context.inputs[0]
    # A user's own function may have the name of one of Keras.
    theirs = function.__module__.startswith(("tf_keras.", "keras.", "tensorflow."))
    if name not in ACTIVATIONS or not theirs:
        raise context.refuse(
            f"activation {name!r} has no lowering", f"one of {sorted(ACTIVATIONS)}"
        )
    op, attributes = ACTIVATIONS[name]
    return context.add(op, context.shape, attributes, suffix=suffix)


def _times_gate(context, suffix: str) -> str:
    """Adds x relu6(x + 3) / 6."""
    inputs = list(context.inputs)
    gate = context.add("relu6_sigmoid", context.shape, suffix=f"{suffix}/gate")
    context.inputs = [*inputs, gate]
    return context.add("multiply", context.shape, suffix=suffix)


def name_of(function) -> str:
    """Returns an activation's name, also of one that Keras cannot serialize."""
    try:
        name = tf_keras.activations.serialize(function)
    except ValueError:
        name = None
    return name if isinstance(name, str) else getattr(function, "__name__", str(name))


def unchanged(context) -> str:
    """Adds nothing: the layer hands on what it gets."""
    return context.inputs[0]


CONVERTERS = {
    "Activation": activation_layer,
    "ActivityRegularization": unchanged,
    "ELU": elu,
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "ReLU": relu,
    "Softmax": softmax,
    "ThresholdedReLU": thresholded_relu,
}
