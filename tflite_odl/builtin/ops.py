"""The op families: which lowerings each op of a layer graph has, best first."""

from __future__ import annotations

from tflite_odl.builtin import (
    activations,
    affine,
    batch_norm,
    conv2d,
    dense,
    depthwise,
    dropout,
    merging,
    normalizations,
    resampling,
    shapes,
    smooth,
)
from tflite_odl.builtin.lowering import Lowering

FAMILIES: dict[str, tuple[Lowering, ...]] = {
    "dense": dense.LOWERINGS,
    "conv2d": conv2d.LOWERINGS,
    "depthwise": depthwise.LOWERINGS,
    "batch_norm": batch_norm.LOWERINGS,
    "global_average_pool": (shapes.GlobalAveragePool(),),
    **activations.FAMILIES,
    **smooth.FAMILIES,
    **affine.FAMILIES,
    **normalizations.FAMILIES,
    **merging.FAMILIES,
    **shapes.FAMILIES,
    **resampling.FAMILIES,
    **dropout.FAMILIES,
}
