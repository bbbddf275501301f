"""Dropout and noise layers: drawn per layer and per step in training, else nothing."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence

from tflite_odl.builtin.smooth import SELU_ALPHA, SELU_SCALE


def dropout(context) -> str:
    """Dropout, by `noise_shape` also of whole rows or channels (None: all sizes)."""
    given = context.layer.noise_shape or [None] * (len(context.shape) + 1)
    return _dropout(context, given)


def spatial_dropout(context) -> str:
    """Dropout of whole channels, of a sequence or of an image."""
    return _dropout(context, [None, *[1] * (len(context.shape) - 1), None])


def stochastic_depth(context) -> str:
    """Dropout of whole rows."""
    noise_shape = [None, *[1] * len(context.shape)]
    return _dropout(context, noise_shape, context.layer.drop_path_rate)


def _dropout(
    context,
    noise_shape: Sequence[int | None],
    rate: float | None = None,
    op: str = "dropout",
    options: Mapping[str, float] = types.MappingProxyType({}),
) -> str:
    rate = float(context.layer.rate if rate is None else rate)
    if rate == 1.0:
        raise context.refuse("rate 1 leaves nothing", "a rate below 1")
    if noise_shape[0] not in (None, 1):
        raise context.refuse(f"noise_shape {noise_shape} fixes the batch", "None or 1")
    sizes = zip(noise_shape[1:], context.shape, strict=True)
    drawn = {"shape": [size if n is None else n for n, size in sizes]}
    drawn |= {"rows": noise_shape[0] is None, "rate": rate}
    return _draw(context, op, {**drawn, **options}) if rate else context.inputs[0]


def alpha_dropout(context) -> str:
    """Dropout to the lowest value of a selu."""
    low = {"low": -SELU_SCALE * SELU_ALPHA}
    given = context.layer.noise_shape or [None] * (len(context.shape) + 1)
    return _dropout(context, given, op="alpha_dropout", options=low)


def gaussian_dropout(context) -> str:
    rate = float(context.layer.rate)
    if not 0 < rate < 1:
        return context.inputs[0]
    drawn = {"mean": 1.0, "stddev": math.sqrt(rate / (1 - rate))}
    return _draw(context, "dropout", drawn)


def gaussian_noise(context) -> str:
    drawn = {"mean": 0.0, "stddev": float(context.layer.stddev)}
    return _draw(context, "noise", drawn)


def _draw(context, op: str, drawn: Mapping) -> str:
    if context.call.call_kwargs.get("training") is True:
        raise context.refuse("it is called with training=True", "a call without")
    if context.builder.inferring:
        return context.inputs[0]
    salts = context.salts(1 if "rate" in drawn else 2)
    attributes = {"shape": context.shape, "rows": True, **drawn, "salts": salts}
    return context.add(op, context.shape, attributes)


CONVERTERS = {
    "AlphaDropout": alpha_dropout,
    "Dropout": dropout,
    "GaussianDropout": gaussian_dropout,
    "GaussianNoise": gaussian_noise,
    "SpatialDropout1D": spatial_dropout,
    "SpatialDropout2D": spatial_dropout,
    "StochasticDepth": stochastic_depth,
}
