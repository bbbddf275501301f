"""Dense layers, and products of two tensors."""

from __future__ import annotations

import math

from tflite_odl.reading.layers.activations import activation


def dense(context) -> str:
    layer = context.layer
    context.add(
        "dense",
        (*context.shape[:-1], layer.units),
        weights={"kernel": layer.kernel, "bias": layer.bias},
    )
    return activation(context, layer.activation)


def einsum_dense(context) -> str:
    """A Dense over several axes: the last of the input, the first of the kernel."""
    layer, shape = context.layer, context.shape
    source, rest = layer.equation.replace(" ", "").split(",")
    kernel, target = rest.split("->")
    shared = [axis for axis in source if axis in kernel]
    count, lead = len(shared), source.replace("...", "")[: -len(shared) or None]
    plain = (
        source.endswith("".join(shared))
        and kernel.startswith("".join(shared))
        and target.replace("...", "") == lead + kernel[count:]
        and 0 < count <= len(shape)
    )
    out = (*shape[: len(shape) - count], *layer.kernel.shape[count:])
    bias = layer.bias
    if bias is not None and bias.shape != layer.kernel.shape[count:]:
        plain = False
    if not plain:
        raise context.refuse(f"the equation {layer.equation!r}", "a Dense")
    weights = {"kernel": layer.kernel, "bias": bias}
    context.add("contraction", out, {"contracted": count}, weights)
    return activation(context, layer.activation)


def dot(context) -> str:
    """The product of two tensors along one axis of each, for each row."""
    layer = context.layer
    shapes = list(map(context.builder.shape, context.given))
    axes = [layer.axes] * 2 if isinstance(layer.axes, int) else list(layer.axes)
    axes = [axis % (len(shape) + 1) for axis, shape in zip(axes, shapes, strict=True)]
    if 0 in axes:
        raise context.refuse("a product along the batch", "another axis")
    sides, rest = [], []
    for place, (name, axis, shape) in enumerate(zip(context.given, axes, shapes)):
        if layer.normalize:
            suffix, over = f"/unit{place}", {"axes": (axis,)}
            name = context.node("unit_norm", [name], shape, over, suffix=suffix)
        others = [other for other in range(1, len(shape) + 1) if other != axis]
        sizes = [shape[other - 1] for other in others]
        if axis != len(shape):
            last, order = (*sizes, shape[axis - 1]), {"order": (*others, axis)}
            name = context.node("permute", [name], last, order, suffix=f"/last{place}")
        matrix = (math.prod(sizes), shape[axis - 1])
        attributes = {"input": context.builder.shape(name)}
        suffix = f"/matrix{place}"
        sides.append(context.node("reshape", [name], matrix, attributes, suffix=suffix))
        rest += sizes
    shape = tuple(context.builder.shape(side)[0] for side in sides)
    context.node("matmul", sides, shape, {"transpose": True}, suffix="/product")
    return context.add("reshape", rest or (1,), {"input": shape})


CONVERTERS = {
    "Dense": dense,
    "Dot": dot,
    "EinsumDense": einsum_dense,
}
