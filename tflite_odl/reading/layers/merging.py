"""Layers that join several inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence


def add(context) -> str:
    return add_linear(context)


def subtract(context) -> str:
    return add_linear(context, (1.0, -1.0))


def average(context) -> str:
    count = len(context.inputs)
    return add_linear(context, (1.0 / count,) * count)


def multiply(context) -> str:
    return context.add("multiply", broadcast(context))


def maximum(context) -> str:
    return context.add("extremum", broadcast(context), {"sign": 1.0})


def minimum(context) -> str:
    return context.add("extremum", broadcast(context), {"sign": -1.0})


def scaled_sum(context) -> str:
    """a + b scale, the layer of InceptionResNetV2."""
    return add_linear(context, (1.0, float(context.layer.scale)))


def divide(context) -> str:
    return context.add("divide", broadcast(context))


def concatenate(context) -> str:
    return add_concatenation(context, context.layer.axis)


def add_linear(context, factors: Sequence[float] = (), suffix: str = "") -> str:
    """Adds the sum of the inputs, each times its factor, 1 if none are given."""
    shape = broadcast(context)
    attributes = {"inputs": tuple(map(context.builder.shape, context.inputs))}
    if factors:
        attributes["factors"] = tuple(factors)
    return context.add("add", shape, attributes, suffix=suffix)


def add_concatenation(context, axis: int, suffix: str = "") -> str:
    shapes = [context.builder.shape(name) for name in context.inputs]
    axis = axis % (len(shapes[0]) + 1)
    if axis == 0:
        raise context.refuse("the inputs are joined along the batch", "another axis")
    sizes = tuple(shape[axis - 1] for shape in shapes)
    shape = [*shapes[0][: axis - 1], sum(sizes), *shapes[0][axis:]]
    attributes = {"axis": axis, "sizes": sizes}
    return context.add("concatenate", shape, attributes, suffix=suffix)


def broadcast(context) -> tuple[int, ...]:
    """Returns the shape the inputs broadcast to; as in Keras' merging layers, an input
    of lower rank gets axes of size one behind the batch first."""
    shapes = [context.builder.shape(name) for name in context.inputs]
    rank = max(map(len, shapes))
    names = list(context.inputs)
    for k, shape in enumerate(shapes):
        if len(shape) < rank:
            shapes[k] = (*[1] * (rank - len(shape)), *shape)
            context.inputs = [names[k]]
            names[k] = context.add(
                "reshape", shapes[k], {"input": shape}, suffix=f"/input{k}"
            )
    context.inputs = names
    sizes = [{n for n in axis if n != 1} or {1} for axis in zip(*shapes)]
    if any(len(found) > 1 for found in sizes):
        raise context.refuse(f"inputs of shapes {shapes}", "shapes that broadcast")
    return tuple(math.prod(found) for found in sizes)


CONVERTERS = {
    "Add": add,
    "Average": average,
    "Concatenate": concatenate,
    "CustomScaleLayer": scaled_sum,
    "Maximum": maximum,
    "Minimum": minimum,
    "Multiply": multiply,
    "Subtract": subtract,
}
