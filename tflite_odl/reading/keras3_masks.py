"""Masks that Keras 3 writes into a model's graph, where tf_keras hands them on unseen.

A layer behind an Embedding with `mask_zero`, or a Masking layer, is called by Keras 3
with `mask=` the result of an operation (`x != 0`). The twin in tf_keras finds the same
mask by itself, so both the argument and the operation are left out. Outputs of model
and twin are compared afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_OPERATIONS = ("NotEqual", "Any", "LogicalOr")
ARGUMENTS = ("mask", "query_mask", "value_mask", "key_mask")


def implicit(calls: Sequence[Any]) -> list[Any]:
    """Returns the calls of a model without masks that its layers make themselves.

    Args:
      calls: `reading.rebuild.Call`s, in an order that can be run.
    """
    masks = _masks(calls)
    if not masks:
        return list(calls)
    left = [_without(call, masks) for call in calls]
    read: set[int] = set()
    found: list[Any] = []
    # From the end, so that what only a left out operation reads goes, too.
    for call in reversed(left):
        operation = type(call.layer).__name__ in _OPERATIONS
        if operation and not any(id(tensor) in read for tensor in call.outputs):
            continue
        found.append(call)
        read |= {id(leaf) for leaf in _leaves((call.args, call.kwargs))}
    return found[::-1]


def _masks(calls: Sequence[Any]) -> set[int]:
    """Returns the ids of the tensors that are masks of an Embedding or a Masking."""
    tables, values, differing, found = set(), {}, {}, set()
    for call in calls:
        kind = type(call.layer).__name__
        source = id(call.args[0]) if call.args else 0
        if kind == "Embedding" and call.layer.mask_zero:
            tables.add(source)
        elif kind == "Masking":
            values[source] = call.layer.mask_value
    for call in calls:
        kind = type(call.layer).__name__
        if kind == "NotEqual" and len(call.args) == 2:
            source, value = id(call.args[0]), call.args[1]
            if source in tables and _is(value, 0):
                found.add(id(call.outputs[0]))
            elif source in values and _is(value, values[source]):
                differing[id(call.outputs[0])] = call
        elif kind == "Any" and call.args and id(call.args[0]) in differing:
            found.add(id(call.outputs[0]))
        elif kind == "LogicalOr" and call.args[0] is call.args[1]:
            # A sum of two tensors of one mask. Of two masks Keras 3 takes either, but
            # tf_keras both.
            found |= {id(t) for t in call.outputs if id(call.args[0]) in found}
    return found


def _is(value: Any, number: float) -> bool:
    return isinstance(value, (int, float)) and value == number


def _without(call: Any, masks: set[int]) -> Any:
    kwargs = {
        name: value
        for name, value in call.kwargs.items()
        if name not in ARGUMENTS or not all(id(one) in masks for one in _leaves(value))
    }
    return dataclasses.replace(call, kwargs=kwargs)


def _leaves(structure: Any) -> list[Any]:
    return tf.nest.flatten(structure)
