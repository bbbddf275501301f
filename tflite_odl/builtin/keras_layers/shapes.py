"""Layers that move entries without computing."""

from __future__ import annotations


def reshape(context) -> str:
    shape = context.layer.compute_output_shape((None, *context.shape))[1:]
    return context.add("reshape", shape, {"input": context.shape})


def zero_padding2d(context) -> str:
    padding = tuple(map(tuple, context.layer.padding))
    h, w, c = context.shape
    shape = (h + sum(padding[0]), w + sum(padding[1]), c)
    return context.add("zero_pad", shape, {"padding": padding, "input": context.shape})


CONVERTERS = {
    "Flatten": reshape,
    "Reshape": reshape,
    "ZeroPadding2D": zero_padding2d,
}
