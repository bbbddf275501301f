"""Pooling layers."""

from __future__ import annotations


def global_average_pooling2d(context) -> str:
    shape = context.shape
    out = (1, 1, shape[-1]) if context.layer.keepdims else shape[-1:]
    return context.add("global_average_pool", out, {"input": shape})


CONVERTERS = {
    "GlobalAveragePooling2D": global_average_pooling2d,
}
