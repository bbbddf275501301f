"""Stores kernels as int8 with a scale for each channel, and DEQUANTIZE behind them.

What computes stays float32: XNNPACK unpacks such constants once, when a file is loaded,
and runs at the speed of float constants; the reference kernels do likewise. Versions
from TFLite 2.14 on were tried; 2.14 refuses fewer bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.places import order_of

# Of DEQUANTIZE with a scale for each channel.
VERSION = 5
SEED = 30_000


def placeholder(value: np.ndarray) -> np.ndarray:
    """Returns int8 numbers in place of a float placeholder, the same ones each time."""
    return np.clip(np.rint(value * 50), -127, 127).astype(np.int8)


def narrow(
    tree: schema.ModelT, kernels: Mapping[str, tuple[np.ndarray, Sequence[int]]]
) -> None:
    """Makes float32 kernels of a model int8, in place.

    A kernel that is not in the file as it is stays as it was.

    Args:
      tree: the model, converted with placeholders.
      kernels: {name: (placeholder, axes of its output channels, counted from the end)}.
    """
    rng = np.random.default_rng(SEED)
    for graph in tree.subgraphs:
        for index in range(len(graph.tensors)):
            tensor = graph.tensors[index]
            data = tree.buffers[tensor.buffer].data
            if data is None or flatbuffer.dtype(tensor) != "float32":
                continue
            content = np.frombuffer(bytes(data), np.uint8)
            for value, channels in kernels.values():
                if value.nbytes != content.nbytes:
                    continue
                order = order_of(value, content)
                if order is not None:
                    levels = placeholder(value).transpose(order)
                    table = _scales(tensor.shape, value, channels, order, rng)
                    _unpacked(tree, graph, index, levels, table)
                    break


def _scales(shape, value: np.ndarray, channels: Sequence[int], order, rng):
    """Returns the table of random scales, all different, along the channels' axis."""
    own = {axis % value.ndim for axis in channels}
    count = math.prod(value.shape[axis] for axis in own)
    last = max(place for place, axis in enumerate(order) if axis in own)
    behind = math.prod(value.shape[axis] for axis in order[last + 1 :])
    (axis,) = [
        axis
        for axis, size in enumerate(shape)
        if size == count and math.prod(map(int, shape[axis + 1 :])) == behind
    ][-1:]
    table = schema.QuantizationParametersT()
    table.scale = rng.uniform(0.5, 1, count).astype(np.float32)
    table.zeroPoint = np.zeros(count, np.int64)
    table.quantizedDimension = axis
    return table


def _unpacked(tree, graph, index: int, levels: np.ndarray, table) -> None:
    """Makes a constant the output of a DEQUANTIZE of int8 numbers."""
    tensor = graph.tensors[index]
    packed = schema.TensorT()
    packed.name, packed.shape = tensor.name, tensor.shape
    packed.type, packed.quantization = schema.TensorType.INT8, table
    packed.buffer, tensor.buffer = len(tree.buffers), 0
    content = np.ascontiguousarray(levels).view(np.uint8).ravel()
    tree.buffers.append(schema.BufferT(data=content))
    graph.tensors.append(packed)
    op = schema.OperatorT()
    op.opcodeIndex = _opcode(tree)
    op.inputs = np.array([len(graph.tensors) - 1], np.int32)
    op.outputs = np.array([index], np.int32)
    op.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    op.builtinOptions = schema.DequantizeOptionsT()
    graph.operators = [op, *graph.operators]


def _opcode(tree: schema.ModelT) -> int:
    code = schema.BuiltinOperator.DEQUANTIZE
    for index, known in enumerate(tree.operatorCodes):
        if known.builtinCode == code and known.version == VERSION:
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = code
    added.version = VERSION
    tree.operatorCodes.append(added)
    return len(tree.operatorCodes) - 1
