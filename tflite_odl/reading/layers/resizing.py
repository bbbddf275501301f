"""Images in another size: Resizing, `tf.image.resize`, bicubic up-sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def resizing(context) -> str:
    layer = context.layer
    for option in ("crop_to_aspect_ratio", "pad_to_aspect_ratio"):
        if getattr(layer, option, False):
            raise context.refuse(f"{option}=True", "Cropping2D or ZeroPadding2D before")
    size = (layer.height, layer.width)
    return add_resize(context, size, layer.interpolation)


def resize(
    context,
    images,
    size,
    method="bilinear",
    preserve_aspect_ratio=False,
    antialias=False,
) -> str:
    if preserve_aspect_ratio:
        raise context.refuse("preserve_aspect_ratio=True", "the size itself")
    return add_resize(context, tuple(map(int, size)), method, antialias)


def add_resize(
    context, size: tuple[int, int], method: str, antialias: bool = False
) -> str:
    """Adds a resizing, which is linear: by what it makes of single pixels."""
    h, w, c = context.shape

    def matrix(old: int, new: int) -> np.ndarray:
        pixels = tf.eye(old, dtype=tf.float32)[tf.newaxis, :, :, tf.newaxis]
        found = tf.image.resize(pixels, (new, old), method, antialias=antialias)
        return found[0, :, :, 0].numpy()

    attributes = {"rows": matrix(h, size[0]), "columns": matrix(w, size[1])}
    return context.add("resize", (*size, c), attributes)


CONVERTERS = {"Resizing": resizing}
FUNCTIONS: dict[str, Callable] = {"image.resize": resize}
