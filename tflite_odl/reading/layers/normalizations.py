"""Normalization layers, and layers that only scale."""

from __future__ import annotations

import math

import numpy as np
import tf_keras

# Options of a batch norm that get_config leaves out.
_FORGOTTEN = ("renorm", "virtual_batch_size", "adjustment")


def batch_normalization(context) -> str:
    layer, rank = context.layer, len(context.shape) + 1
    axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axis not in ([-1], [rank - 1]):
        raise context.refuse(f"axis {axis} is not the last one", "axis=-1")
    for option in _FORGOTTEN:
        if value := getattr(layer, option, None):
            raise context.refuse(f"{option}={value}", "plain batch normalization")
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


def layer_normalization(context) -> str:
    layer, rank = context.layer, len(context.shape) + 1
    axes = sorted(axis % rank for axis in _list(layer.axis))
    if axes != [*range(axes[0], rank)] or axes[0] == 0:
        raise context.refuse(f"axes {axes} are not the last ones", "axis=-1")
    lead = context.shape[: axes[0] - 1]
    folded = (*lead, math.prod(context.shape[axes[0] - 1 :]))
    return _row_norm(context, folded, (len(folded),), 1)


def group_normalization(context) -> str:
    layer, shape = context.layer, context.shape
    if layer.axis not in (-1, len(shape)):
        raise context.refuse(f"axis {layer.axis} is not the last one", "axis=-1")
    folded = (*shape[:-1], layer.groups, shape[-1] // layer.groups)
    axes = (*range(1, len(shape)), len(folded))
    return _row_norm(context, folded, axes, 2)


def _row_norm(context, folded, axes, parameters: int) -> str:
    layer = context.layer
    attributes = {
        "folded": folded,
        "axes": axes,
        "parameters": parameters,
        "epsilon": float(layer.epsilon),
    }
    weights = {role: getattr(layer, role, None) for role in ("gamma", "beta")}
    return context.add("row_norm", context.shape, attributes, weights)


def unit_normalization(context) -> str:
    rank = len(context.shape) + 1
    axes = sorted(axis % rank for axis in _list(context.layer.axis))
    if axes[0] == 0:
        raise context.refuse("it normalizes over the batch", "other axes")
    return context.add("unit_norm", context.shape, {"axes": tuple(axes)})


def normalization(context) -> str:
    """(x - mean) / deviation, by the statistics the layer was adapted to."""
    layer = context.layer
    mean, variance = (np.asarray(v)[0] for v in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), tf_keras.backend.epsilon())
    if layer.invert:
        attributes = {"scale": deviation, "offset": mean}
        return context.add("affine", context.shape, attributes)
    # In two steps: x / deviation - mean / deviation would cancel.
    context.add("affine", context.shape, {"offset": -mean}, suffix="/centred")
    return context.add("affine", context.shape, {"scale": 1.0 / deviation})


def rescaling(context) -> str:
    layer = context.layer
    attributes = {"scale": np.asarray(layer.scale), "offset": np.asarray(layer.offset)}
    return context.add("affine", context.shape, attributes)


def layer_scale(context) -> str:
    return context.add("scale", context.shape, weights={"gamma": context.layer.gamma})


def _list(axis) -> list[int]:
    return [axis] if isinstance(axis, int) else list(axis)


CONVERTERS = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "LayerScale": layer_scale,
    "Normalization": normalization,
    "Rescaling": rescaling,
    "UnitNormalization": unit_normalization,
}
