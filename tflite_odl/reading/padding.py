"""Padding layers folded into the convolutions behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from tflite_odl.builtin.graph import Node


def folded(nodes: tuple[Node, ...], kept: Collection[str]) -> tuple[Node, ...]:
    """Returns the nodes, each ZeroPadding2D folded into the convolutions after it,
    those that are to be kept aside."""
    pads = {n.name: n for n in nodes if n.op == "zero_pad" and n.name not in kept}
    readers = {name: [node for node in nodes if name in node.inputs] for name in pads}
    folded = {
        name
        for name, found in readers.items()
        if found and all(node.op in ("conv2d", "depthwise") for node in found)
    }
    result = []
    for node in nodes:
        if node.inputs and node.inputs[0] in folded:
            result.append(_with_padding(node, pads[node.inputs[0]]))
        elif node.name not in folded:
            result.append(node)
    return tuple(result)


def _with_padding(node: Node, pad: Node) -> Node:
    padding = tuple(
        (mine[0] + more[0], mine[1] + more[1])
        for mine, more in zip(
            node.attributes["padding"], pad.attributes["padding"], strict=True
        )
    )
    size = pad.attributes["input"][:2]
    attributes = {**node.attributes, "padding": padding, "size": size}
    return dataclasses.replace(node, inputs=pad.inputs, attributes=attributes)
