"""Chooses a lowering for every node of a graph."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from tflite_odl import files
from tflite_odl.builtin.cost import TARGETS, cost
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.isolated import Isolated
from tflite_odl.builtin.lowering import Lowering
from tflite_odl.builtin.ops import FAMILIES
from tflite_odl.errors import ModelError

MOST_BYTES = 2**24  # of a manifest


def plan(
    graph: Graph, choices: Mapping[str, str] | None = None, target: str = "portable"
) -> dict[str, Lowering]:
    """Returns {node name: lowering}: the user's choice, else the cheapest (see `cost`).

    Args:
      graph: the model.
      choices: {node name: lowering name}, for instance from a manifest.
      target: key of `cost.TARGETS`; every plan runs and is right on every processor.

    Raises:
      ModelError: a choice names no node or no lowering that supports it, or a node has
        no lowering at all.
    """
    if target not in TARGETS:
        raise ModelError(f"target {target!r} is not one of {list(TARGETS)}")
    choices = dict(choices or {})
    nodes = [node for node in graph.nodes if node.op != "input"]
    unknown = sorted(set(choices) - {node.name for node in nodes})
    if unknown:
        raise ModelError(
            f"the plan names nodes {unknown} the model does not have; "
            f"it has {[node.name for node in nodes]}"
        )
    return {
        node.name: _choose(graph, node, choices.get(node.name), target)
        for node in nodes
    }


def read(path: str | os.PathLike) -> dict[str, str]:
    """Returns the choices in a JSON file {node name: lowering name}, or in a manifest.

    Raises:
      ModelError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(files.read(path, ModelError, MOST_BYTES))
        found = dict(content.get("plan", content))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{files.shown(path)} is not a plan: {error}") from error
    if not all(type(name) is str for name in found.values()):
        raise ModelError(f"{files.shown(path)} is not a plan: needs names of lowerings")
    return found


def candidates(graph: Graph, node: Node) -> list[Lowering]:
    """Returns the lowerings that support a node.

    Raises:
      ModelError: none does.
    """
    inputs = graph.input_shapes(node)
    fitting = [low for low in FAMILIES[node.op] if low.supports(node, inputs)]
    if not fitting:
        raise ModelError(
            f"layer {node.layer!r} (op {node.op}, {dict(node.attributes)}) has no "
            "lowering to builtin ops: "
            "replace the layer by one of " + ", ".join(sorted(FAMILIES))
        )
    return fitting


def _choose(graph: Graph, node: Node, choice: str | None, target: str) -> Lowering:
    fitting = candidates(graph, node)
    if choice is not None:
        named = [low for low in fitting if low.name == choice]
        if not named:
            raise ModelError(
                f"the plan gives node {node.name!r} (op {node.op}) the lowering "
                f"{choice!r}; those that support it: {[low.name for low in fitting]}"
            )
        return named[0]
    fitting = [low for low in fitting if low.delegated] or fitting
    if len(fitting) == 1 or not node.trainable:
        return fitting[0]
    isolated = Isolated.of(graph, node)
    return min(fitting, key=lambda lowering: cost(isolated, lowering, target))


def names(chosen: Mapping[str, Lowering]) -> dict[str, str]:
    """Returns {node name: lowering name}, as it stands in the manifest."""
    return {node: lowering.name for node, lowering in chosen.items()}
