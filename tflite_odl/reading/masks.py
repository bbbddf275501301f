"""Keras masks: which steps of a sequence count, from layer to layer.

Keras hands a mask on unseen, beside a tensor: an Embedding with `mask_zero` or a
Masking layer makes it, layers whose `call` takes a mask use it, and others pass it on,
or drop it. In the layer graph a mask is a node of its own, [B, T] float32 of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

# Layers of TensorFlow functions: Keras hands their results no mask.
_FUNCTIONS = ("TFOpLambda", "SlicingOpLambda")
_MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def after(context) -> str | None:
    """Returns the node of the mask of a layer's output, None where it has none.

    Args:
      context: of the layer, a `reading.graph.LayerContext`, before it is converted.

    Raises:
      ModelError: the layer uses a mask, or changes it, and its converter does not.
    """
    layer, kind = context.layer, type(context.layer).__name__
    if not any(context.masks) or kind in _FUNCTIONS or not layer.supports_masking:
        return None
    if kind in _MERGING or (kind == "Concatenate" and _of_features(context)):
        return all_of(context, context.masks, "/mask")
    if layer._expects_mask_arg:
        raise context.refuse("it would use a mask", "unmasked inputs")
    if type(layer).compute_mask is not tf_keras.layers.Layer.compute_mask:
        raise context.refuse("it changes the mask of its input", "unmasked inputs")
    return context.masks[0]


def _of_features(context) -> bool:
    return context.layer.axis in (-1, len(context.shape))


def add(context, source: str, value: float, features: bool) -> str:
    """Adds the node of a mask: 1 where a node's values are not `value`, or of
    `features`, [B, T, C], where one of them is not."""
    shape = context.builder.shape(source)
    shape = shape[:-1] if features else shape
    attributes = {"value": value, "features": features}
    return context.node("mask", [source], shape, attributes, suffix="/mask")


def all_of(context, masks: Sequence[str | None], suffix: str) -> str | None:
    """Returns the node of a mask that is 1 where all are, None of none; those that are
    None do not count. The inputs of the node that is added next stay as they are."""
    known = list(dict.fromkeys(mask for mask in masks if mask is not None))
    if len(known) < 2:
        return known[0] if known else None
    before, shape = context.inputs, context.builder.shape(known[0])
    found = context.node("multiply", known, shape, suffix=suffix)
    context.inputs = before
    return found


def reshaped(context, mask: str, shape: Sequence[int], suffix: str) -> str:
    """Adds a mask in another shape."""
    attributes = {"input": context.builder.shape(mask)}
    return context.node("reshape", [mask], shape, attributes, suffix=suffix)


def times(
    context, source: str, mask: str, shape: Sequence[int], suffix: str = ""
) -> str:
    """Adds what is left of [B, T, ...] where a mask [B, T] is 1."""
    steps = context.builder.shape(mask)
    wide = (*steps, *[1] * (len(shape) - len(steps)))
    column = reshaped(context, mask, wide, f"{suffix}/mask/column")
    return context.node("multiply", [source, column], shape, suffix=suffix)
