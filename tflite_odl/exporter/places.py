"""Finds weights in a converted file by their values."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl.errors import ExportError


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one weight lies: offset of its first byte, and the order of its axes."""

    offset: int
    order: tuple[int, ...]


def places(model: bytes, weights: Mapping[str, np.ndarray]) -> dict[str, list[Place]]:
    """Returns where each weight lies in a file, none for one that was not found.

    Args:
      model: the final bytes, converted with these very weights.
      weights: {name: float32 array}, all different from each other.

    Raises:
      ExportError: two weights lie at the same place.
    """
    found: dict[str, list[Place]] = {name: [] for name in weights}
    owners: dict[int, str] = {}
    by_size: dict[int, list[tuple[int, np.ndarray]]] = {}
    for offset, content in buffers(model):
        by_size.setdefault(content.nbytes, []).append((offset, content))
    for name, value in weights.items():
        for offset, content in by_size.get(value.nbytes, ()):
            order = order_of(value, content.view(np.float32))
            if order is None:
                continue
            if owners.setdefault(offset, name) != name:
                raise ExportError(
                    f"the serving twin stores {name!r} and {owners[offset]!r} at the "
                    f"same place, byte {offset}"
                )
            found[name].append(Place(offset, order))
    return found


def buffers(model: bytes) -> list[tuple[int, np.ndarray]]:
    """Returns (offset in the file, content [n] uint8) of each buffer with data."""
    raw = np.frombuffer(model, np.uint8)
    start = raw.__array_interface__["data"][0]
    root = schema.Model.GetRootAs(raw, 0)
    found = []
    for index in range(root.BuffersLength()):
        buffer = root.Buffers(index)
        if buffer.DataLength():
            content = buffer.DataAsNumpy()
            found.append((content.__array_interface__["data"][0] - start, content))
    return found


def order_of(
    value: np.ndarray, stored: np.ndarray, within: int = 0
) -> tuple[int, ...] | None:
    """Returns the order of axes in which a buffer holds a weight, None if it does not.

    Of orders that make no difference the first is taken.

    Args:
      value: the weight.
      stored: [n], what the buffer holds.
      within: how far each entry may be off.
    """
    for order in itertools.permutations(range(value.ndim)):
        seen = value.transpose(order).ravel().astype(np.float64)
        first = abs(seen[0] - stored[0]) <= within
        if first and (np.abs(seen - stored) <= within).all():
            return order
    return None
