"""Which layers of a model are quantized, and how: the student's specification."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.quantizers.rewrite import Scheme
from tflite_odl.builtin.quantizers.weights import OPS, QUANTIZER, WeightQuantizer
from tflite_odl.errors import ModelError

REAL = 32
MAXIMA = ("max_pool", "max_pool1d", "global_max_pool", "global_max_pool1d")
# Specifications by name, each of every layer with a kernel.
NAMED = {
    "binary": "w1a1",
    "ternary": "wta32",
    "int2": "w2a2",
    "int4": "w4a4",
    "int8": "w8a8",
}
_KINDS = "w1 (binary), wt (ternary) or w2 - w8 and w32 (real), then a1 - a8 or a32"


def schemes(
    graph: Graph, kinds: Mapping[str, str], spec: str, clipping: str
) -> dict[str, Scheme]:
    """Returns {node name: scheme}, of the layers that are quantized.

    A class leaves the first and the last layer with a kernel real; a layer that is
    named alone is quantized, wherever it is, with a warning if it is one of these.

    Args:
      graph: of the model.
      kinds: {layer path: name of its Keras class}.
      spec: a key of `NAMED`, or "Conv2D:w1a1,head:w8a8", by classes and layers.
      clipping: of the weights, see `WeightQuantizer`.

    Raises:
      ModelError: an unknown quantizer, class or layer, or nothing is quantized.
    """
    places = [node for node in graph.nodes if node.op in OPS]
    layers = list(dict.fromkeys(node.layer for node in places))
    ends = {*layers[:1], *layers[-1:]}
    chosen: dict[str, Scheme] = {}
    named = NAMED.get(spec)
    if named:
        inner = [layer for layer in layers if layer not in ends]
        chosen = dict.fromkeys(inner, parse(named, clipping))
    else:
        for part in spec.split(","):
            name, _, text = part.partition(":")
            scheme = parse(text, clipping)
            chosen |= dict.fromkeys(_meant(name, layers, ends, kinds), scheme)
    if not chosen:
        raise ModelError(
            f"student={spec!r} quantizes no layer: the first and the last of "
            f"{layers} stay real unless they are named, as in {layers[-1:]}"
        )
    for layer in chosen:
        if len([node for node in places if node.layer == layer]) > 1:
            if kinds[layer].startswith("Separable"):
                raise ModelError(
                    f"layer {layer!r} ({kinds[layer]}) has two kernels: use a "
                    "DepthwiseConv and a Conv layer of size 1 instead"
                )
    return {node.name: chosen[node.layer] for node in places if node.layer in chosen}


def tied_maxima(graph: Graph) -> list[str]:
    """Returns the layers of a quantized graph that take maxima of sums of signs.

    Of neighbouring sums many are equal but for their rounding, and which of them passes
    the gradient hangs on that: two runtimes rarely agree.
    """
    nodes = {node.name: node for node in graph.nodes}
    found = []
    for node in graph.nodes:
        if node.op not in MAXIMA:
            continue
        source = nodes[node.inputs[0]]
        while source.op not in OPS and len(source.inputs) == 1:
            source = nodes[source.inputs[0]]
        reads = [nodes[name].op for name in source.inputs]
        if source.op in OPS and QUANTIZER in source.attributes and reads == ["sign"]:
            found.append(node.layer)
    return list(dict.fromkeys(found))


def summary(schemes: Mapping[str, Scheme], graph: Graph) -> str:
    """Returns a line that names the layers by how they are quantized, real ones last.

    Args:
      schemes: {node name: scheme}.
      graph: of the model, quantized or not.
    """
    layers: dict[str, dict[str, None]] = {}
    for node in graph.nodes:
        if node.op in OPS:
            layers.setdefault(named(schemes.get(node.name)), {})[node.layer] = None
    real = layers.pop(named(None), {})
    found = [f"{name}: {', '.join(of)}" for name, of in layers.items()]
    return f"student {'; '.join(found)}; real: {', '.join(real) or 'none'}"


def named(scheme: Scheme | None) -> str:
    """Returns how a layer is quantized as `parse` reads it."""
    scheme = scheme or Scheme()
    weights, bits = REAL, scheme.activations or REAL
    if scheme.weights is not None:
        ternary = scheme.weights.kind == "ternary"
        weights = "t" if ternary else scheme.weights.bits
    return f"w{weights}a{bits}"


def parse(text: str, clipping: str) -> Scheme:
    """Returns the scheme that, for instance, w1a1 stands for.

    Raises:
      ModelError: it stands for none.
    """
    found = re.fullmatch(r"w(t|[1-8]|32)a([1-8]|32)", text)
    if not found:
        raise ModelError(f"quantizer {text!r} is not known: use {_KINDS}")
    weights, bits = found[1], int(found[2])
    kernel = None
    if weights == "t":
        kernel = WeightQuantizer("ternary", 2, clipping)
    elif weights == "1":
        kernel = WeightQuantizer("binary", 1, clipping)
    elif int(weights) != REAL:
        kernel = WeightQuantizer("rounded", int(weights), clipping)
    return Scheme(kernel, None if bits == REAL else bits)


def _meant(
    name: str, layers: list[str], ends: set[str], kinds: Mapping[str, str]
) -> list[str]:
    """Returns the layers that a class or a layer's name means."""
    if name in layers:
        if name in ends:
            warnings.warn(
                f"layer {name!r} is the first or the last one with a kernel: "
                "quantizing it costs much accuracy",
                stacklevel=4,
            )
        return [name]
    of_class = [layer for layer in layers if kinds[layer] == name]
    if not of_class:
        classes = sorted({kinds[layer] for layer in layers})
        raise ModelError(
            f"student names {name!r}, which is no layer with a kernel and no class of "
            f"one; layers: {layers}, classes: {classes}"
        )
    return [layer for layer in of_class if layer not in ends]
