"""Whole numbers as features."""

from __future__ import annotations

from collections.abc import Callable

from tflite_odl.reading.layers import reductions, shapes


def category_encoding(context) -> str:
    layer = context.layer
    count = int(layer.num_tokens or 0)
    if not count:
        raise context.refuse("it has no num_tokens", "their number")
    context.builder.index(context.inputs[0], count)
    return _encoded(context, layer.output_mode, count)


def discretization(context) -> str:
    layer = context.layer
    bounds = tuple(map(float, layer.bin_boundaries))
    context.add("digitize", context.shape, {"bounds": bounds}, suffix="/number")
    if layer.output_mode == "int":
        return context.inputs[0]
    return _encoded(context, layer.output_mode, len(bounds) + 1)


def _encoded(context, mode: str, count: int) -> str:
    """Adds one-hot vectors: a 1 at each number's place; or multi-hot ones: a 1 at each
    place that is there along the last axis."""
    *outer, last = context.shape
    if mode == "one_hot" and last == 1:
        add_one_hot(context, count, suffix="/places")
        return shapes.add_reshape(context, (*outer, count), suffix="/encoded")
    add_one_hot(context, count, suffix="/places")
    if mode == "one_hot":
        return context.inputs[0]
    if mode == "multi_hot":
        return reductions.add_extremum(context, (len(outer) + 1,), 1.0)
    raise context.refuse(f"output_mode {mode!r}", "one_hot or multi_hot")


def one_hot(
    context, indices, depth, on_value=None, off_value=None, axis=None, dtype=None
) -> str:
    usual = on_value in (None, 1) and off_value in (None, 0) and axis in (None, -1)
    if not usual:
        raise context.refuse("it has options", "one_hot with a depth only")
    return add_one_hot(context, int(depth))


def add_one_hot(context, count: int, suffix: str = "") -> str:
    return context.add("one_hot", (*context.shape, count), suffix=suffix)


CONVERTERS = {
    "CategoryEncoding": category_encoding,
    "Discretization": discretization,
}
FUNCTIONS: dict[str, Callable] = {"one_hot": one_hot}
