"""Finds weights in a converted file by their values."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl.errors import ExportError

_TYPE = schema.TensorType
_BITS = {_TYPE.INT8: 8, _TYPE.INT4: 4, _TYPE.INT2: 2}


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
    root = schema.Model.GetRootAs(np.frombuffer(model, np.uint8), 0)
    found = []
    for index in range(root.BuffersLength()):
        buffer = root.Buffers(index)
        if buffer.DataLength():
            content = buffer.DataAsNumpy()
            found.append((_offset(model, content), content))
    return found


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant of whole numbers with a scale for each channel.

    Attributes:
      offset: of its first byte.
      bits: each number is stored in: 8, 4 or 2.
      weights: how many there are.
      scales: offset of the scales.
      channels: how many scales there are.
    """

    offset: int
    bits: int
    weights: int
    scales: int
    channels: int


def quantized(model: bytes) -> list[Constant]:
    """Returns the constants of whole numbers, in the order of the file, each once."""
    root = schema.Model.GetRootAs(np.frombuffer(model, np.uint8), 0)
    found = {}
    for graph in map(root.Subgraphs, range(root.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            buffer, table = root.Buffers(tensor.Buffer()), tensor.Quantization()
            constant = buffer.DataLength() and tensor.Type() in _BITS
            if constant and table is not None and table.ScaleLength():
                offset = _offset(model, buffer.DataAsNumpy())
                found[offset] = Constant(
                    offset,
                    _BITS[tensor.Type()],
                    int(np.prod(tensor.ShapeAsNumpy(), dtype=np.int64)),
                    _offset(model, table.ScaleAsNumpy()),
                    table.ScaleLength(),
                )
    return [found[offset] for offset in sorted(found)]


def _offset(model: bytes, part: np.ndarray) -> int:
    start = np.frombuffer(model, np.uint8).__array_interface__["data"][0]
    return part.__array_interface__["data"][0] - start


def order_of(
    value: np.ndarray, stored: np.ndarray, within: int = 0
) -> tuple[int, ...] | None:
    """Returns the order of axes in which a buffer holds a weight, None if it does not.

    Orders that differ in the place of axes with one entry have the same bytes; the
    first of them is taken.

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
