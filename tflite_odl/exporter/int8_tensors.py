"""The tensors of an int8 twin: known by their scales, then by where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import quantizing
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.ranges import Places
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter.places import order_of
from tflite_odl.host.int8 import Layer, Span
from tflite_odl.quantizing import Range

# Scales that are the kernels' own: of LOGISTIC and of TANH.
OWN_SCALES = (1 / 256, 1 / 128)
# Two float32 of the same double.
SAME = 1e-6
# Zero points are told apart by numbers that none can be; equal ones would be shared.
FIRST_MARK = 1000


class Finder:
    """Knows the int8 tensors of a converted file by their scales."""

    def __init__(self, tree: schema.ModelT) -> None:
        self.tree = tree
        (self.graph,) = tree.subgraphs
        self.known: set[int] = set()
        self.marks = 0

    def span(self, name: str, known: Range) -> list[int]:
        """Returns the tensors that have a node's range, and marks them."""
        step, zero_point = quantizing.encoding(*known)
        found = [
            index
            for index, tensor in self._int8()
            if _alike(tensor.quantization.scale, [step])
        ]
        self.marks += 1
        for index in found:
            tensor = self.graph.tensors[index]
            if flatbuffer.is_constant(self.tree, tensor):
                raise ExportError(f"a constant of the twin has the range of {name!r}")
            if list(tensor.quantization.zeroPoint) != [zero_point]:
                raise ExportError(
                    f"the range of {name!r} has the zero point "
                    f"{list(tensor.quantization.zeroPoint)}, expected {zero_point}"
                )
            mark = FIRST_MARK + self.marks
            tensor.quantization.zeroPoint = np.array([mark], np.int64)
            tensor.quantization.min = tensor.quantization.max = None
        if not found:
            raise ExportError(f"no tensor of the twin has the range of {name!r}")
        self.known.update(found)
        return found

    def layer(
        self, node: Node, weights: quantizing.Quantized
    ) -> tuple[int, tuple[int, ...], int]:
        """Returns (kernel's tensor, order of its axes, bias' tensor)."""
        kernel = self._constant(node, weights.scales, "int8")
        bias = self._constant(node, weights.bias_scales, "int32")
        stored = self._data(kernel).view(np.int8)
        order = order_of(weights.kernel, stored, within=1)
        held = self._data(bias).view(np.int32)
        off = np.abs(held.astype(np.int64) - weights.bias)
        if order is None or off.max() > 1:
            raise ExportError(
                f"layer {node.layer!r}: the converter's int8 weights are not those of "
                "the manifest's arithmetic"
            )
        self.known.add(kernel)
        for index in (kernel, bias):
            quantization = self.graph.tensors[index].quantization
            quantization.min = quantization.max = None
        return kernel, order, bias

    def check(self, of: Places) -> None:
        """Raises ExportError if anything else is int8 than what is known."""
        for index, tensor in self._int8():
            own = any(_alike(tensor.quantization.scale, [s]) for s in OWN_SCALES)
            if index not in self.known and not own:
                readers = [
                    flatbuffer.op_name(self.tree, op)
                    for op in self.graph.operators
                    if index in flatbuffer.indices(op.inputs)
                ]
                raise ExportError(
                    f"an int8 tensor that {readers} read has a scale that belongs to "
                    "no range of the plan"
                )
        found = [
            op
            for op in self.graph.operators
            if flatbuffer.op_name(self.tree, op) in audit.MULTIPLYING
            and op.inputs[1] in self.known
        ]
        if len(found) != len(of.layers):
            raise ExportError(
                f"{len(found)} layers of the twin multiply in int8, "
                f"{len(of.layers)} are meant to"
            )

    def _int8(self) -> Iterator[tuple[int, schema.TensorT]]:
        for index, tensor in enumerate(self.graph.tensors):
            if flatbuffer.dtype(tensor) == "int8" and tensor.quantization is not None:
                yield index, tensor

    def _constant(self, node: Node, scales: np.ndarray, dtype: str) -> int:
        found = [
            index
            for index, tensor in enumerate(self.graph.tensors)
            if flatbuffer.dtype(tensor) == dtype
            and tensor.quantization is not None
            and _alike(tensor.quantization.scale, scales)
            and flatbuffer.is_constant(self.tree, tensor)
        ]
        if len(found) != 1:
            raise ExportError(
                f"layer {node.layer!r}: {len(found)} constants {dtype} have the scales "
                "of its weights, expected one"
            )
        return found[0]

    def _data(self, index: int) -> np.ndarray:
        buffer = self.tree.buffers[self.graph.tensors[index].buffer]
        return np.ascontiguousarray(buffer.data)


class Offsets:
    """Where a final file has the tables of its tensors, in bytes from its start."""

    def __init__(self, model: bytes) -> None:
        self.raw = np.frombuffer(model, np.uint8)
        self.root = schema.Model.GetRootAs(self.raw, 0)
        self.graph = self.root.Subgraphs(0)

    def encoding(self, tensors: Sequence[int]) -> tuple[int, int]:
        """Returns (place of the scale, of the zero point) that tensors share."""
        found = set()
        for index in tensors:
            table = self.graph.Tensors(index).Quantization()
            found.add(
                (self._at(table.ScaleAsNumpy()), self._at(table.ZeroPointAsNumpy()))
            )
        if len(found) != 1:
            raise ExportError(f"one range stands in the file {len(found)} times")
        return found.pop()

    def weights(self, index: int) -> tuple[int, int | None]:
        """Returns (place of the data, of the scales if there are any)."""
        tensor = self.graph.Tensors(index)
        data = self.root.Buffers(tensor.Buffer()).DataAsNumpy()
        table = tensor.Quantization()
        if table is None or not table.ScaleLength():
            return self._at(data), None
        return self._at(data), self._at(table.ScaleAsNumpy())

    def check(self, spans: Sequence[Span], layers: Sequence[Layer]) -> None:
        """Raises ExportError if two things stand at one place."""
        places = [at for s in spans for at in (s.scale, s.zero_point)]
        for one in layers:
            places += [one.offset, one.scales, one.bias_offset, one.bias_scales]
        if len(places) != len(set(places)):
            raise ExportError("the int8 serving twin stores two numbers at one place")

    def _at(self, view: np.ndarray) -> int:
        start = self.raw.__array_interface__["data"][0]
        return view.__array_interface__["data"][0] - start


def _alike(scales: np.ndarray | None, expected: Sequence[float]) -> bool:
    return (
        scales is not None
        and len(scales) == len(expected)
        and bool(np.allclose(scales, expected, rtol=SAME, atol=0))
    )
