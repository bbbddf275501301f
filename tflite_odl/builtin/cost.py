"""What a lowering costs on a target: the planner's model.

A lowering is traced by itself and its ops are charged for what they do: products by
multiplications, with a product's rows and columns filled up to the kernel's tile;
everything else by the memory it reads and writes; concatenations and slices also by the
pieces they copy. A RESHAPE copies unless its input and its output have one reader each:
so does XNNPACK. The constants are measured (x86-64 with AVX-512) or, for `portable`,
those of a phone's big core: 8 columns of NEON, less arithmetic to the byte.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import tensorflow as tf

from tflite_odl.builtin.isolated import Isolated
from tflite_odl.builtin.lowering import Lowering


@dataclasses.dataclass(frozen=True)
class Target:
    """A processor.

    Attributes:
      rows, columns: of the matrix kernel's tile.
      products: multiplications with addition in a microsecond, one thread.
      bytes: read or written in a microsecond, one thread.
      piece: microseconds for each contiguous piece that is copied.
    """

    rows: int
    columns: int
    products: float
    bytes: float
    piece: float


TARGETS = {
    "portable": Target(6, 8, 12e3, 6e3, 0.01),
    "avx512": Target(7, 32, 60e3, 10e3, 0.012),
}
# Channels a depthwise kernel takes at once.
VECTOR = 8
# Ops that cost nothing, or nothing where they need not copy.
_FREE = frozenset("Const Identity NoOp Placeholder".split())
_VIEWS = frozenset("Reshape ExpandDims Squeeze".split())


def cost(isolated: Isolated, lowering: Lowering, target: str) -> float:
    """Returns the estimated microseconds of one step of a node, by one thread."""
    return _cost(_Key(isolated), lowering, TARGETS[target])


class _Key:
    """Isolated nodes that cost the same are equal."""

    def __init__(self, isolated: Isolated) -> None:
        self.isolated = isolated

    def __hash__(self) -> int:
        return hash(self.isolated.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.isolated.key == other.isolated.key


@functools.cache
def _cost(key: _Key, lowering: Lowering, target: Target) -> float:
    graph = key.isolated.traced(lowering).graph
    return sum(_op(op, target) for op in graph.get_operations())


def _op(op: tf.Operation, target: Target) -> float:
    if op.type in _FREE or not op.outputs or op.outputs[0].shape.rank is None:
        return 0.0
    if op.type in _VIEWS and not _copies(op):
        return 0.0
    moved = [*op.inputs, *op.outputs]
    passed = sum(_entries(tensor) for tensor in moved) * 4 / target.bytes
    if op.type == "BatchMatMulV2":
        return passed + _product(op, target)
    if op.type == "Conv2D":
        # A stencil: a few multiplications an entry. Else one product over the window.
        kh, kw, depth, filters = op.inputs[1].shape
        tile = VECTOR if depth == 1 else target.columns
        wide = _filled(filters, tile) / filters
        work = _entries(op.outputs[0]) * kh * kw * depth * wide
        return passed + work / target.products
    if op.type == "Conv2DBackpropInput":
        kh, kw, _, filters = op.inputs[1].shape
        work = _entries(op.outputs[0]) * kh * kw * filters
        return passed + work / target.products
    if op.type in ("ConcatV2", "Slice"):
        return passed + _pieces(op) * target.piece
    return passed


def _product(op: tf.Operation, target: Target) -> float:
    a, b = op.inputs
    *groups, rows, inner = a.shape
    if op.get_attr("adj_x"):
        rows, inner = inner, rows
    columns = b.shape[-2] if op.get_attr("adj_y") else b.shape[-1]
    filled = _filled(rows, target.rows) * _filled(columns, target.columns)
    work = math.prod(groups) * inner * filled
    # A computed right operand is packed first, a transposed left one turned.
    turned = _entries(b) + (_entries(a) if op.get_attr("adj_x") else 0)
    return work / target.products + 2 * turned * 4 / target.bytes


def _filled(size: int, tile: int) -> int:
    return -(-size // tile) * tile


def _copies(view: tf.Operation) -> bool:
    """Whether a RESHAPE's input or output is read elsewhere, too. What the function
    takes and returns is, as a rule, by other layers."""
    (source, *_), (result,) = view.inputs, view.outputs
    readers = [*source.consumers(), *result.consumers()]
    outside = source.op.type == "Placeholder" or any(
        reader.type == "Identity" for reader in readers
    )
    return outside or len(readers) > 2


def _pieces(op: tf.Operation) -> float:
    """Returns how many contiguous pieces a CONCATENATION or a SLICE copies."""
    if op.type == "Slice":
        whole, part = op.inputs[0].shape, op.outputs[0].shape
        axes = [n for n in range(len(part)) if part[n] != whole[n]]
        return math.prod(part[: max(axes)]) if axes else 1
    axis = int(tf.get_static_value(op.inputs[-1])) % op.outputs[0].shape.rank
    return math.prod(op.outputs[0].shape[:axis]) * (len(op.inputs) - 1)


def _entries(tensor: tf.Tensor) -> int:
    return math.prod(tensor.shape) if tensor.shape.rank is not None else 0
