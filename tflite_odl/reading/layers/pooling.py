"""Pooling layers."""

from __future__ import annotations

from tflite_odl.reading.layers.shapes import add_slice
from tflite_odl.reading.layers.windows import window


def pooling(op: str):
    """Returns the converter of pooling over windows by an op."""

    def convert(context) -> str:
        layer = context.layer
        ones = (1,) * (len(context.shape) - 1)
        kernel, strides = _pair(layer.pool_size, ones), _pair(layer.strides, ones)
        attributes, out = window(context, kernel, strides, ones)
        if kernel == ones:  # XNNPACK pools no window shorter than its stride
            kept = [(0, step, size) for step, size in zip(strides, out)]
            return add_slice(context, [*kept, (0, 1, context.shape[-1])])
        return context.add(op, (*out, context.shape[-1]), attributes)

    return convert


def global_pooling(op: str):
    """Returns the converter of pooling over everything but the channels."""

    def convert(context) -> str:
        *size, channels = context.shape
        out = (*(1 for _ in size), channels) if context.layer.keepdims else (channels,)
        image = (*(1,) * (2 - len(size)), *size, channels)
        return context.add(op, out, {"input": image})

    return convert


def average_over_time(context) -> str:
    """The mean over the steps that count: all, or those that a mask leaves."""
    (mask,) = context.masks
    if mask is None:
        return global_pooling("global_average_pool1d")(context)
    shape = (1, context.shape[-1]) if context.layer.keepdims else context.shape[-1:]
    source, draws = context.inputs[0], {"draws": {1: "mask"}}
    return context.node("masked_mean", [source, mask], shape, draws)


def _pair(value, ones: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a layer's size per axis: the 1-D layers have a bare number."""
    return (value,) * len(ones) if isinstance(value, int) else tuple(value)


CONVERTERS = {
    "AveragePooling1D": pooling("average_pool1d"),
    "AveragePooling2D": pooling("average_pool"),
    "GlobalAveragePooling1D": average_over_time,
    "GlobalAveragePooling2D": global_pooling("global_average_pool"),
    "GlobalMaxPooling1D": global_pooling("global_max_pool1d"),
    "GlobalMaxPooling2D": global_pooling("global_max_pool"),
    "MaxPooling1D": pooling("max_pool1d"),
    "MaxPooling2D": pooling("max_pool"),
}

MASKED = frozenset(["GlobalAveragePooling1D"])
