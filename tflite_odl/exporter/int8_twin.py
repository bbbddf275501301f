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

from tflite_odl import contract, quantizing
from tflite_odl.builtin import fake_quant, fold
from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.builtin.observe import SEEN, Observed, followed
from tflite_odl.builtin.quantized import Backbone, source
from tflite_odl.builtin.ranges import Places, fixed, places, positive
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter.calibration import calibrated
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.int8 import Rows, preprocessed
from tflite_odl.exporter.int8_tensors import Finder, Offsets
from tflite_odl.exporter.places import places as places_of
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
from tflite_odl.host.bake import Constant, Twin, patched
from tflite_odl.host.int8 import Int8, Layer, Span
from tflite_odl.host.weights import Weight
from tflite_odl.methods.base import Method
from tflite_odl.methods.network import Network
from tflite_odl.quantizing import Range

# Of the bias that a layer without one is given.
BIAS = "/int8_bias"
PROVEN_ROWS = 8

Arrays = Mapping[str, np.ndarray]


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
      sample: a few of them, {input: rows}, as the sensor gives them.
    """

    folded: fold.Folded
    places: Places
    ranges: Mapping[str, Range]
    seen: Mapping[str, tuple[int | None, int | None]]
    observed: Observed
    rows: int
    sample: Arrays

    def to_manifest(self) -> dict[str, Any]:
        """Returns what the manifest's `quantization` says beside the recipe."""
        done = self.places.int8_products / max(self.places.products, 1)
        return {
            "int8_layers": list(self.places.layers),
            "float_layers": list(self.places.float_layers),
            "int8_share_of_multiply_adds": round(done, 4),
            "calibration_rows": self.rows,
        }


@dataclasses.dataclass(frozen=True)
class ServedInt8(Served):
    """An int8 twin, and what it must compute."""

    def expected(self, state: Arrays) -> Backbone:
        """Returns the same twin as fake quantization, with what a state makes."""
        sources = {**self.making.sources, **state}
        weights = {n: f.value(sources) for n, f in self.making.formulas.items()}
        graph = dataclasses.replace(self.making.graph, weights=weights)
        ranges = self.twin.int8.ranges(state)
        ranges |= fixed(graph, tuple(node.name for node in graph.nodes))
        return Backbone.all_of(graph, ranges)


def planned(
    network: Network,
    rows: Rows,
    progress: Callable[[str], None] = lambda stage: None,
) -> Planned:
    """Returns what the int8 twin of a network is to be.

    Args:
      network: of the method.
      rows: [N, ...] as the sensor gives them, by input name where there are several.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: no layer would be int8, the rows do not fit, or a range is not
        finite.
    """
    x = preprocessed(network, rows)
    folded = fold.folded(network.graph)
    graph, of = folded.graph, places(folded.graph)
    if not of.layers:
        raise ExportError("no layer of the serving twin would be int8")
    ranges = calibrated(graph, of.ranged, x, progress)
    ranges |= fixed(graph, of.ranged)
    making = Making.of(network, folded)
    frozen = {
        source(graph, node.inputs[0])
        for node in _layers(graph, of)
        if not making.changes(*_formulas(making, node).values())
    }
    nodes = {
        folded.alias.get(node.name, node.name): node.name
        for node in network.graph.nodes
    }
    held = frozen | fixed(graph, of.ranged).keys()
    free = {name: known for name, known in ranges.items() if name not in held}
    above = [name for name in free if positive(graph, name)]
    observed, seen = followed(free, nodes, above)
    if not isinstance(rows, Mapping):
        rows = {network.features[0].name: rows}
    sample = {name: np.asarray(value)[:PROVEN_ROWS] for name, value in rows.items()}
    return Planned(folded, of, ranges, seen, observed, len(x[0]), sample)


def serve(method: Method, plan: Planned, rows: int = 1) -> ServedInt8:
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
    """Makes one twin; see `serve`."""

    def __init__(self, method: Method, plan: Planned, rows: int) -> None:
        self.method, self.plan, self.rows = method, plan, rows
        self.network = method.serving().network
        self.making = Making.of(self.network, plan.folded)
        graph = _with_biases(plan.folded.graph, plan.places)
        self.graph = dataclasses.replace(graph, weights=random_weights(graph.weights))
        self.layers = {node.name: node for node in _layers(self.graph, plan.places)}
        self.fixed = fixed(graph, plan.places.ranged)
        rng = np.random.default_rng(SEED + 1)
        self.ranges = {
            name: self._placeholder(name, rng) for name in plan.places.ranged
        } | self.fixed

    def _placeholder(self, name: str, rng: np.random.Generator) -> Range:
        low = 0.0 if positive(self.graph, name) else -float(rng.uniform(1, 2))
        return quantizing.nudged(low, float(rng.uniform(2, 5)))

    def run(self) -> ServedInt8:
        backbone = Backbone.all_of(self.graph, self.ranges)
        end = self.graph.output.name

        def run(x: Sequence[tf.Tensor]) -> tf.Tensor:
            return backbone.run(x)[end]

        module = Inference(self.method, self.rows, run)
        tree = flatbuffer.read(convert(module, int8=True))
        audited = audit.audit(tree, self.method.layers())
        audited.check()
        finder = Finder(tree)
        spans = {
            name: finder.span(name, known)
            for name, known in self.ranges.items()
            if name not in self.fixed
        }
        tensors = {name: self._tensors(finder, name) for name in self.layers}
        finder.check(self.plan.places)
        frozen = self.making.needed()
        model = with_constants(compact(tree), frozen)
        offsets = Offsets(model)
        int8 = Int8(
            tuple(self._span(offsets, name, where) for name, where in spans.items()),
            tuple(self._layer(offsets, name, *t) for name, t in tensors.items()),
            self.network.prefix + SEEN if self.plan.observed.extremes else "",
        )
        offsets.check(int8.spans, int8.layers)
        whole = Twin(self._floats(model), {}, len(model), int8)
        sources = {**self.making.sources, int8.seen: self.plan.observed.first}
        model = patched(model, whole, sources)
        ops = audited.ops_by_signature[contract.INFER]
        kept = self._kept(whole, constants(model, frozen))
        return ServedInt8(model, kept, ops, self.making, self.network, "int8")

    def _tensors(self, finder: Finder, name: str) -> tuple[int, tuple[int, ...], int]:
        """Returns (kernel's tensor, order of its axes, bias' tensor)."""
        node = self.layers[name]
        step, _ = quantizing.encoding(*self.ranges[source(self.graph, node.inputs[0])])
        kernel, bias = (self.graph.weights[node.weights[r]] for r in ("kernel", "bias"))
        axes = fake_quant.SCALE_AXES[node.op]
        return finder.layer(node, quantizing.quantized(kernel, bias, axes, step))

    def _span(self, offsets: Offsets, name: str, where: Sequence[int]) -> Span:
        seen = self.plan.seen.get(name, (None, None))
        return Span(name, *self.plan.ranges[name], seen, *offsets.encoding(where))

    def _layer(
        self, offsets: Offsets, name: str, kernel: int, order: tuple, bias: int
    ) -> Layer:
        node = self.layers[name]
        formulas = _formulas(self.making, node)
        (offset, scales), (bias_offset, bias_scales) = map(
            offsets.weights, (kernel, bias)
        )
        return Layer(
            formulas["kernel"],
            formulas.get("bias"),
            fake_quant.SCALE_AXES[node.op],
            source(self.graph, node.inputs[0]),
            offset,
            order,
            scales,
            bias_offset,
            bias_scales,
        )

    def _floats(self, model: bytes) -> tuple[Weight, ...]:
        """Returns the weights that stay float32, with their places."""
        own = {name for node in self.layers.values() for name in node.weights.values()}
        others = {n: w for n, w in self.graph.weights.items() if n not in own}
        found = places_of(model, others)
        if lost := sorted(name for name, where in found.items() if not where):
            raise ExportError(
                f"the int8 serving twin does not hold the float weights {lost} as they "
                "are: take recipe 'float32', and please report the layer"
            )
        return self.making.weights(found)

    def _kept(self, whole: Twin, kept: Mapping[str, Constant]) -> Twin:
        """Returns the twin without the weights that training does not change."""
        changes = self.making.changes
        layers = tuple(
            one
            for one in whole.int8.layers
            if changes(one.kernel, *([one.bias] if one.bias else []))
        )
        floats = tuple(w for w in whole.weights if changes(w.formula))
        int8 = dataclasses.replace(whole.int8, layers=layers)
        return dataclasses.replace(whole, weights=floats, constants=kept, int8=int8)


def _layers(graph: Graph, of: Places) -> list[Node]:
    """Returns the nodes whose weights are int8."""
    return [
        node
        for node in graph.nodes
        if node.op in fake_quant.SCALE_AXES and node.name in of.int8
    ]


def _formulas(making: Making, node: Node) -> dict[str, Formula]:
    """Returns {role: formula} of a layer's weights, without a bias that is zeros."""
    return {
        role: making.formulas[name]
        for role, name in node.weights.items()
        if name in making.formulas
    }


def _with_biases(graph: Graph, of: Places) -> Graph:
    """Returns the graph with a bias in each int8 layer: the converter gives it one."""
    nodes, weights = {n.name: n for n in graph.nodes}, dict(graph.weights)
    for node in _layers(graph, of):
        if "bias" not in node.weights:
            name = f"{node.name}{BIAS}"
            weights[name] = np.zeros(node.shape[-1], np.float32)
            own = {**node.weights, "bias": name}
            nodes[node.name] = dataclasses.replace(node, weights=own)
    return dataclasses.replace(graph, nodes=tuple(nodes.values()), weights=weights)
