"""The op families: which lowerings each op of a layer graph has, best first."""

from __future__ import annotations

from tflite_odl.builtin import (
    activations,
    affine,
    batch_norm,
    carried,
    categories,
    conv2d,
    dense,
    depthwise,
    dropout,
    elementary,
    merging,
    normalizations,
    pooling,
    reductions,
    resampling,
    shapes,
    smooth,
)
from tflite_odl.builtin.lowering import Lowering
from tflite_odl.builtin.quantizers import activations as quantized
from tflite_odl.builtin.sequences import on_sequences

GLOBAL_AVERAGE = (shapes.GlobalAveragePool(),)

FAMILIES: dict[str, tuple[Lowering, ...]] = {
    "dense": dense.LOWERINGS,
    "conv2d": conv2d.LOWERINGS,
    "conv1d": on_sequences(conv2d.LOWERINGS),
    "conv2d_transpose": conv2d.TRANSPOSED,
    "conv1d_transpose": on_sequences(conv2d.TRANSPOSED),
    "depthwise": depthwise.LOWERINGS,
    "depthwise1d": on_sequences(depthwise.LOWERINGS),
    "batch_norm": batch_norm.LOWERINGS,
    "max_pool": pooling.MAXIMUM,
    "max_pool1d": on_sequences(pooling.MAXIMUM),
    "average_pool": pooling.AVERAGE,
    "average_pool1d": on_sequences(pooling.AVERAGE),
    "global_average_pool": GLOBAL_AVERAGE,
    "global_average_pool1d": on_sequences(GLOBAL_AVERAGE),
    "global_max_pool": pooling.GLOBAL_MAXIMUM,
    "global_max_pool1d": on_sequences(pooling.GLOBAL_MAXIMUM),
    **activations.FAMILIES,
    **smooth.FAMILIES,
    **elementary.FAMILIES,
    **affine.FAMILIES,
    **normalizations.FAMILIES,
    **merging.FAMILIES,
    **reductions.FAMILIES,
    **shapes.FAMILIES,
    **resampling.FAMILIES,
    **categories.FAMILIES,
    **dropout.FAMILIES,
    **quantized.FAMILIES,
    **carried.FAMILIES,
}
