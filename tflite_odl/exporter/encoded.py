"""Weights of a converted file in fewer bits, by changing its tables.

A weight of 8 bits or in float16 is widened by a DEQUANTIZE of its own, which XNNPACK
does once, when the file is loaded: smaller, and as fast as float32. Of 4 and 2 bits
FULLY_CONNECTED alone has kernels; they round each row of what they read, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import quantizing
from tflite_odl.builtin.fold import CHANNEL_AXES
from tflite_odl.builtin.graph import Graph
from tflite_odl.errors import ExportError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.places import order_of
from tflite_odl.folding import Formula
from tflite_odl.host.weights import BITS
from tflite_odl.leveling import Range

TYPES = {
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "int4": schema.TensorType.INT4,
    "int2": schema.TensorType.INT2,
}
# The first versions of the ops that take them.
DEQUANTIZE_VERSION = {"float16": 3, "int8": 5}
DENSE_VERSION = 12


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a weight is to be stored.

    Attributes:
      kind: key of `TYPES`.
      axes: of the weight, from the end, that its scales run over.
    """

    kind: str
    axes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where a weight is stored: its tensor, the order of its axes, its bytes."""

    tensor: int
    order: tuple[int, ...]
    bytes: int
    encoding: Encoding


def encodings(graph: Graph, kind: str) -> dict[str, Encoding]:
    """Returns {weight of a folded graph: its encoding}, of those that have one.

    Args:
      graph: folded.
      kind: "float16": all weights; "int8": kernels; "int4" and "int2": kernels of
        dense layers whose inputs fill whole bytes.
    """
    if kind == "float16":
        return {name: Encoding(kind) for name in graph.weights}
    found = {}
    for node in graph.nodes:
        dense = node.op == "dense"
        if kind != "int8" and not dense or node.op not in CHANNEL_AXES:
            continue
        name = node.weights["kernel"]
        if dense and graph.weights[name].shape[0] * BITS[kind] % 8:
            continue
        found[name] = Encoding(kind, CHANNEL_AXES[node.op])
    return found


def leveled(formulas: Mapping[str, Formula | Range]) -> dict[str, Encoding]:
    """Returns {weight: int8} of kernels that training quantizes."""
    return {
        name: Encoding("int8", formula.axes)
        for name, formula in formulas.items()
        if isinstance(formula, Formula) and formula.levels is not None
    }


def widened(stored: Mapping[str, Stored]) -> dict[str, int]:
    """Returns {op: count} of the ops that encoding has added."""
    count = sum(one.encoding.kind in DEQUANTIZE_VERSION for one in stored.values())
    return {"DEQUANTIZE": count} if count else {}


def encode(
    tree: schema.ModelT,
    weights: Mapping[str, np.ndarray],
    wanted: Mapping[str, Encoding],
) -> dict[str, Stored]:
    """Encodes weights in place; returns where each is, without those not found.

    Args:
      tree: converted with these weights.
      weights: {name: placeholder}, all different.
      wanted: {name: encoding}.

    Raises:
      ExportError: a weight of few bits is read by another op than FULLY_CONNECTED.
    """
    graph = tree.subgraphs[0]  # others are what loops repeat
    tensors = {}
    for index, tensor in enumerate(graph.tensors):
        data = tree.buffers[tensor.buffer].data
        if data is not None and flatbuffer.dtype(tensor) == "float32":
            tensors[index] = np.ascontiguousarray(data).view(np.float32)
    found = {}
    for name, encoding in wanted.items():
        for index, data in tensors.items():
            if data.size != weights[name].size:
                continue
            order = order_of(weights[name], data)
            if order is not None:
                found[name] = _encoded(tree, index, weights[name], order, encoding)
                break
    return found


def _encoded(
    tree: schema.ModelT,
    index: int,
    value: np.ndarray,
    order: tuple[int, ...],
    encoding: Encoding,
) -> Stored:
    """Encodes one weight."""
    (graph,), kind = tree.subgraphs, encoding.kind
    tensor = graph.tensors[index]
    narrow = schema.TensorT()
    narrow.shape, narrow.name, narrow.type = tensor.shape, tensor.name, TYPES[kind]
    if kind == "float16":
        content = value.transpose(order).astype(np.float16).ravel().view(np.uint8)
    else:
        steps, scales = quantizing.steps(value, encoding.axes, BITS[kind])
        content = quantizing.packed(steps.transpose(order), BITS[kind])
        narrow.quantization = _scales(tensor, scales, value, order, encoding)
    narrow.buffer = len(tree.buffers)
    tree.buffers.append(schema.BufferT(data=content))
    if kind in DEQUANTIZE_VERSION:
        graph.tensors.append(narrow)
        _widen(tree, len(graph.tensors) - 1, index, DEQUANTIZE_VERSION[kind])
        tensor.buffer = 0
        return Stored(len(graph.tensors) - 1, order, content.nbytes, encoding)
    graph.tensors[index] = narrow
    for op in graph.operators:
        if index in flatbuffer.indices(op.inputs):
            _take_few_bits(tree, op)
    return Stored(index, order, content.nbytes, encoding)


def _scales(
    tensor: schema.TensorT,
    scales: np.ndarray,
    value: np.ndarray,
    order: tuple[int, ...],
    encoding: Encoding,
) -> schema.QuantizationParametersT:
    """Returns the table of a weight's scales, along its channels in the file."""
    table = schema.QuantizationParametersT()
    table.scale = scales.astype(np.float32)
    table.zeroPoint = np.zeros(len(scales), np.int64)
    shape = tuple(tensor.shape)
    table.quantizedDimension = channel_axis(value.shape, order, encoding.axes, shape)
    return table


def channel_axis(
    value: tuple[int, ...],
    order: tuple[int, ...],
    axes: tuple[int, ...],
    stored: tuple[int, ...],
) -> int:
    """Returns the axis of a tensor along which a weight's channels lie.

    The order alone does not tell: where an axis has one entry, as in a 1x1 kernel,
    several orders have the same bytes. So each entry's channel is followed.

    Args:
      value: shape of the weight.
      order: of its axes in the file.
      axes: of the weight, from the end, that number the channels, in this order.
      stored: shape of the tensor.

    Raises:
      ExportError: along no axis.
    """
    sizes = [n if axis - len(value) in axes else 1 for axis, n in enumerate(value)]
    count = math.prod(sizes)
    channels = np.broadcast_to(np.arange(count).reshape(sizes), value)
    channels = channels.transpose(order).reshape(stored)
    for axis, size in enumerate(stored):
        along = np.arange(size).reshape([-1] + [1] * (len(stored) - axis - 1))
        if size == count and (channels == along).all():
            return axis
    raise ExportError(f"no axis of {list(stored)} has {count} channels")


def _widen(tree: schema.ModelT, narrow: int, wide: int, version: int) -> None:
    """Puts a DEQUANTIZE in front of all ops."""
    op = schema.OperatorT()
    op.opcodeIndex = _code(tree, schema.BuiltinOperator.DEQUANTIZE, version)
    op.inputs, op.outputs = np.array([narrow], np.int32), np.array([wide], np.int32)
    op.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    op.builtinOptions = schema.DequantizeOptionsT()
    tree.subgraphs[0].operators.insert(0, op)


def _take_few_bits(tree: schema.ModelT, op: schema.OperatorT) -> None:
    if flatbuffer.op_name(tree, op) != "FULLY_CONNECTED":
        raise ExportError(
            f"{flatbuffer.op_name(tree, op)} has no kernel for weights of few bits"
        )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    op.opcodeIndex = _code(tree, code, DENSE_VERSION)


def _code(tree: schema.ModelT, builtin: int, version: int) -> int:
    """Returns the index of an op's code, added if it is not there."""
    for index, code in enumerate(tree.operatorCodes):
        if code.builtinCode == builtin and code.version >= version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1
