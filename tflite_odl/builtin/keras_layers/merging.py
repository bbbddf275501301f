"""Layers that join several inputs."""

from __future__ import annotations


def add(context) -> str:
    shapes = {context.builder.shape(name) for name in context.inputs}
    if len(shapes) != 1:
        raise context.refuse(f"inputs of shapes {sorted(shapes)}", "equal shapes")
    return context.add("add", context.shape)


CONVERTERS = {
    "Add": add,
}
