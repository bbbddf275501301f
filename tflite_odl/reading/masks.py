"""Keras masks: which steps of a sequence count, from layer to layer.

Keras hands a mask on unseen, beside a tensor: an Embedding with `mask_zero` or a
Masking layer makes it, layers whose `call` takes a mask use it, and others pass it on,
or drop it. In the layer graph a mask is a node of its own, [B, T] float32 of 0 and 1.
"""

from __future__ import annotations

import tf_keras


def after(context) -> str | None:
    """Returns the node of the mask of a layer's output, None where it has none.

    Args:
      context: of the layer, a `reading.graph.LayerContext`, before it is converted.

    Raises:
      ModelError: the layer uses a mask, or changes it, and its converter does not.
    """
    if not any(context.masks):
        return None
    layer = context.layer
    if layer._expects_mask_arg:
        raise context.refuse("it would use a mask", "unmasked inputs")
    if not layer.supports_masking:
        return None
    if type(layer).compute_mask is not tf_keras.layers.Layer.compute_mask:
        raise context.refuse("it changes the mask of its input", "unmasked inputs")
    return context.masks[0]
