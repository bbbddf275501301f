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
    embedding,
    matmul,
    merging,
    normalizations,
    pooling,
    recurrent,
    reductions,
    resampling,
    shapes,
    smooth,
    step_masks,
)
from tflite_odl.builtin.lowering import Lowering
from tflite_odl.builtin.over_time import over_time
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
    **embedding.FAMILIES,
    **step_masks.FAMILIES,
    **matmul.FAMILIES,
    **recurrent.FAMILIES,
}
# A batch norm takes its means over all steps, whatever their rank; dropout would draw
# for rows that are none of the batch's.
_OF_THE_BATCH = ("batch_norm", *dropout.FAMILIES)
FAMILIES |= over_time(
    {op: found for op, found in FAMILIES.items() if op not in _OF_THE_BATCH}
)
