"""The serving twin in int8, whose weights and ranges a host writes into place.

As the float twin it is converted from placeholders: random weights and random ranges,
all of them different. Each int8 tensor of the converted file is known by its scale;
what is left unknown would keep the scale of a placeholder, so it is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract, quantizing
from tflite_odl.builtin import fake_quant, fold
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.observe import SEEN, Observed, followed
from tflite_odl.builtin.quantized import MOVES, Backbone
from tflite_odl.builtin.ranges import Places, fixed, places, positive
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter import places as found_places
from tflite_odl.exporter.calibration import calibrated
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.twin import (
    SEED,
    Inference,
    Making,
    Served,
    constants,
    random_weights,
    with_constants,
)
from tflite_odl.folding import Formula
from tflite_odl.host.bake import Twin, patched
from tflite_odl.host.int8 import Int8, Layer, Span
from tflite_odl.methods.base import Method
from tflite_odl.methods.network import Network
from tflite_odl.quantizing import Range

# Scales that are the kernels' own: of LOGISTIC and of TANH.
OWN_SCALES = (1 / 256, 1 / 128)
# Two float32 of the same double.
SAME = 1e-6
# Zero points are told apart by numbers that none can be; equal ones would be shared.
FIRST_MARK = 1000
BIAS = "/int8_bias"


@dataclasses.dataclass(frozen=True)
class Planned:
    """What an int8 twin is to be, known before the training graph is built.

    Attributes:
      folded: the method's graph.
      places: what of it is int8.
      ranges: {node: range}, as calibrated.
      seen: {node: places in the state of what training has seen}, see `Span`.
      observed: what the training graph follows.
      rows: how many the ranges were found with.
    """

    folded: fold.Folded
    places: Places
    ranges: Mapping[str, Range]
    seen: Mapping[str, tuple[int | None, int | None]]
    observed: Observed
    rows: int

    def to_manifest(self) -> dict[str, Any]:
        """Returns what the manifest's `quantization` says beside the recipe."""
        done = self.places.int8_products / max(self.places.products, 1)
        return {
            "int8_layers": list(self.places.layers),
            "float_layers": list(self.places.float_layers),
            "int8_share_of_multiply_adds": round(done, 4),
            "calibration_rows": self.rows,
        }


def planned(
    network: Network,
    x: Sequence[np.ndarray],
    progress: Callable[[str], None] = lambda stage: None,
) -> Planned:
    """Returns what the int8 twin of a network is to be.

    Args:
      network: of the method.
      x: one [N, ...] float32 for each input, as its first layers take it.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: no layer would be int8, or a range is not finite.
    """
    folded = fold.folded(network.graph)
    graph, of = folded.graph, places(folded.graph)
    if not of.layers:
        raise ExportError("no layer of the serving twin would be int8")
    ranges = calibrated(graph, of.ranged, x, progress)
    ranges |= fixed(graph, of.ranged)
    making = Making.of(network, folded)
    frozen = {
        _source(graph, node)
        for node in graph.nodes
        if node.op in fake_quant.SCALE_AXES
        and node.name in of.int8
        and not making.changes(*_formulas(making, node).values())
    }
    nodes = {
        folded.alias.get(node.name, node.name): node.name
        for node in network.graph.nodes
    }
    free = {
        name: known
        for name, known in ranges.items()
        if name not in frozen and name not in fixed(graph, of.ranged)
    }
    above = [name for name in free if positive(graph, name)]
    observed, seen = followed(free, nodes, above)
    return Planned(folded, of, ranges, seen, observed, len(x[0]))


def serve(method: Method, plan: Planned, rows: int = 1) -> Served:
    """Returns the int8 serving twin of a method, with the weights it is shipped with.

    Args:
      method: what is exported; its network follows `plan.observed`.
      plan: of the same network.
      rows: of one infer call.

    Raises:
      ExportError: an op is not builtin, a weight is not in the file, or something in it
        is int8 that no range was given for.
    """
    return _Maker(method, plan, rows).run()


class _Maker:
    def __init__(self, method: Method, plan: Planned, rows: int) -> None:
        self.method, self.plan, self.rows = method, plan, rows
        network = method.serving().network
        self.seen = network.prefix + SEEN
        self.making = Making.of(network, plan.folded)
        self.graph = _with_biases(plan.folded.graph, plan.places)
        self.layers = {
            node.name: node
            for node in self.graph.nodes
            if node.op in fake_quant.SCALE_AXES and node.name in plan.places.int8
        }
        names = [self.graph.node(n).weights.values() for n in self.layers]
        self.own = {name for weights in names for name in weights}
        # Another seed than the float twin's, whose sequences of one kind are weights.
        rng = np.random.default_rng(SEED + 1)
        self.ranges = {
            name: self._placeholder(name, rng) for name in plan.ranges
        } | fixed(self.graph, plan.places.ranged)
        self.weights = random_weights(self.graph.weights)

    def _placeholder(self, name: str, rng: np.random.Generator) -> Range:
        low = 0.0 if positive(self.graph, name) else -float(rng.uniform(1, 2))
        return quantizing.nudged(low, float(rng.uniform(2, 5)))

    def run(self) -> Served:
        graph = dataclasses.replace(self.graph, weights=self.weights)
        backbone = Backbone.all_of(graph, self.ranges)
        end = graph.output.name

        def run(x: Sequence[tf.Tensor]) -> tf.Tensor:
            return backbone.run(x)[end]

        module = Inference(self.method, self.rows, run)
        tree = flatbuffer.read(convert(module, int8=True))
        audited = audit.audit(tree, self.method.layers())
        audited.check()
        finder = _Finder(tree)
        spans = {name: finder.span(name, self.ranges[name]) for name in self._baked}
        layers = {name: self._layer(finder, name) for name in self.layers}
        finder.check(self.plan.places)
        frozen = self.making.needed()
        model = with_constants(compact(tree), frozen)
        return self._patched(model, _Offsets(model), spans, layers, frozen, audited)

    @property
    def _baked(self) -> list[str]:
        return [
            n for n in self.ranges if n not in fixed(self.graph, tuple(self.ranges))
        ]

    def _layer(self, finder: _Finder, name: str) -> tuple[int, tuple[int, ...], int]:
        """Returns (kernel's tensor, order of its axes, bias' tensor)."""
        node = self.layers[name]
        step = quantizing.encoding(*self.ranges[_source(self.graph, node)])[0]
        kernel, bias = (self.weights[node.weights[r]] for r in ("kernel", "bias"))
        axes = fake_quant.SCALE_AXES[node.op]
        return finder.layer(node, quantizing.quantized(kernel, bias, axes, step))

    def _patched(self, model, offsets, spans, layers, frozen, audited) -> Served:
        known = tuple(
            Span(
                name,
                *self.plan.ranges[name],
                self.plan.seen.get(name, (None, None)),
                *offsets.encoding(spans[name]),
            )
            for name in spans
        )
        made = []
        for name, (kernel, order, bias) in layers.items():
            node = self.layers[name]
            formulas = _formulas(self.making, node)
            places_of = offsets.weights(kernel), offsets.weights(bias)
            (offset, scales), (bias_offset, bias_scales) = places_of
            axes = fake_quant.SCALE_AXES[node.op]
            source = _source(self.graph, node)
            made.append(
                Layer(
                    formulas["kernel"],
                    formulas.get("bias"),
                    axes,
                    source,
                    offset,
                    order,
                    scales,
                    bias_offset,
                    bias_scales,
                )
            )
        others = {n: w for n, w in self.weights.items() if n not in self.own}
        found = found_places.places(model, others)
        if lost := sorted(name for name, where in found.items() if not where):
            raise ExportError(
                f"the int8 serving twin does not hold the float weights {lost} as they "
                "are: take recipe 'float32', and please report the layer"
            )
        offsets.check(known, made)
        float_weights = self.making.weights(found)
        seen = self.seen if self.plan.observed.extremes else ""
        whole = Twin(float_weights, {}, len(model), Int8(known, tuple(made), seen))
        sources = {**self.making.sources, self.seen: self.plan.observed.first}
        model = patched(model, whole, sources)
        kept = Twin(
            tuple(w for w in float_weights if self.making.changes(w.formula)),
            constants(model, frozen),
            len(model),
            Int8(
                known,
                tuple(one for one in made if self._changes(one)),
                seen,
            ),
        )
        return Served(model, kept, audited.ops_by_signature[contract.INFER])

    def _changes(self, layer: Layer) -> bool:
        formulas = [layer.kernel, *([layer.bias] if layer.bias else [])]
        return self.making.changes(*formulas)


class _Finder:
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
        order = found_places.order_of(weights.kernel, stored, within=1)
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

    def _int8(self):
        return [
            (index, tensor)
            for index, tensor in enumerate(self.graph.tensors)
            if flatbuffer.dtype(tensor) == "int8" and tensor.quantization is not None
        ]

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


class _Offsets:
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

    def weights(self, index: int) -> tuple[int, int]:
        """Returns (place of the data, of the scales)."""
        tensor = self.graph.Tensors(index)
        data = self.root.Buffers(tensor.Buffer()).DataAsNumpy()
        return self._at(data), self._at(tensor.Quantization().ScaleAsNumpy())

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


def _source(graph: Graph, node: Node) -> str:
    """Returns the name of the node whose range a layer's input has."""
    before = graph.node(node.inputs[0])
    while before.op in MOVES:
        before = graph.node(before.inputs[0])
    return before.name


def _formulas(making: Making, node: Node) -> dict[str, Formula]:
    """Returns {role: formula} of a layer's weights, without a bias that is zeros."""
    return {
        role: making.formulas[name]
        for role, name in node.weights.items()
        if name in making.formulas
    }


def _with_biases(graph: Graph, of: Places) -> Graph:
    """Returns the graph with a bias in each int8 layer: the converter gives it one."""
    nodes, weights = [], dict(graph.weights)
    for node in graph.nodes:
        int8 = node.op in fake_quant.SCALE_AXES and node.name in of.int8
        if int8 and "bias" not in node.weights:
            name = f"{node.name}{BIAS}"
            weights[name] = np.zeros(node.shape[-1], np.float32)
            own = {**node.weights, "bias": name}
            node = dataclasses.replace(node, weights=own)
        nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes), weights=weights)
