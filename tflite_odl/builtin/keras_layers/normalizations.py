"""Normalization layers."""

from __future__ import annotations


def batch_normalization(context) -> str:
    layer, rank = context.layer, len(context.shape) + 1
    axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axis not in ([-1], [rank - 1]):
        raise context.refuse(f"axis {axis} is not the last one", "axis=-1")
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


CONVERTERS = {
    "BatchNormalization": batch_normalization,
}
