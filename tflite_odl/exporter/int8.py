"""An int8 backbone: what is frozen of a method's network, quantized and audited."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract
from tflite_odl.builtin.quantized import Backbone, split
from tflite_odl.builtin.tape import scope_name
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.recipes import Recipe
from tflite_odl.exporter.tfmot import Calibrated, calibrated
from tflite_odl.methods.base import Method
from tflite_odl.methods.network import Network
from tflite_odl.proof import backbones

Rows = np.ndarray | Mapping[str, np.ndarray]

PROVEN_ROWS = 8
# Ops around the backbone that may be int8, too: they only choose and move. Which row is
# good is decided in float, by ops before; zeros that are joined on are exact.
CHOOSING = (
    "QUANTIZE",
    "DEQUANTIZE",
    "SELECT",
    "SELECT_V2",
    "CONCATENATION",
    "GATHER",
    "PAD",
    "RESHAPE",
    "SLICE",
    "TRANSPOSE",
)

# Signatures that run the network.
COMPUTING = (contract.TRAIN, contract.INFER, contract.EVALUATE)


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A method with an int8 backbone.

    Attributes:
      method: which infers and trains with it.
      backbone: of the method's network.
      unknown: names of frozen layers that TF-MOT does not know.
      rows: how many the ranges were found with.
      proofs: what `proof.backbones` found.
    """

    method: Method
    backbone: Backbone
    unknown: tuple[str, ...]
    rows: int
    proofs: dict[str, float]

    def to_manifest(self) -> dict[str, Any]:
        """Returns what the manifest's `quantization` says beside the recipe."""
        return {
            "int8_layers": list(self.backbone.layers),
            "float_layers": list(self.backbone.float_layers),
            "unknown_to_tfmot": list(self.unknown),
            "ranges": {n: list(r) for n, r in self.backbone.ranges.items()},
            "calibration_rows": self.rows,
        }


def quantized(
    method: Method,
    recipe: Recipe,
    rows: Rows,
    progress: Callable[[str], None] = lambda stage: None,
) -> Quantized:
    """Returns the method with its frozen part in int8.

    Args:
      method: one with frozen layers before those that learn.
      recipe: with an int8 backbone.
      rows: [N, ...] as the sensor gives them, by input name where there are several,
        to find the ranges with.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: nothing is frozen, TF-MOT cannot quantize it, the rows do not fit, or
        no layer of it would be int8.
    """
    network = method.serving().network
    parts = split(network.graph)
    if not parts.ends:
        raise ExportError(
            f"recipe {recipe.name!r} quantizes what is frozen, and nothing is: "
            "take trainable='head', 'last:K' or a regular expression"
        )
    x = preprocessed(network, rows)
    ends = [network.graph.node(name).layer for name in parts.ends]
    found = calibrated(network.model, ends, x, progress)
    backbone = Backbone.of(network.graph, _by_node(network, parts.front.nodes, found))
    if not backbone.layers:
        raise ExportError(
            f"no frozen layer would be int8: TF-MOT does not know "
            f"{list(found.unknown)}, or no range is known before and behind one"
        )
    progress("convert and prove the backbone alone")
    alone = convert(_Alone(backbone, network), int8=True)
    backbone = dataclasses.replace(backbone, alone=alone)
    everything = convert(_Alone(backbone.everything(), network), int8=True)
    sample = [one[:PROVEN_ROWS] for one in x]
    proofs = backbones.prove(backbone, everything, found.model, found.plain, sample)
    return Quantized(
        method.quantized(backbone), backbone, found.unknown, len(x[0]), proofs
    )


class _Alone(tf.Module):
    """The backbone by itself, of one row, as `convert` takes it."""

    def __init__(self, backbone: Backbone, network: Network) -> None:
        super().__init__()
        specs = [
            tf.TensorSpec((1, *node.shape), tf.float32, f"x{number}")
            for number, node in enumerate(network.graph.inputs)
        ]

        def run(*x: tf.Tensor) -> dict[str, tf.Tensor]:
            values = backbone.values(x).values()
            return {f"y{number}": value for number, value in enumerate(values)}

        traced = tf.function(run, input_signature=specs, autograph=False)
        self.functions = {"run": traced.get_concrete_function()}


def preprocessed(network: Network, rows: Rows) -> list[np.ndarray]:
    """Returns rows as the model's first layers take them."""
    features = network.features
    given = rows if isinstance(rows, Mapping) else {features[0].name: rows}
    wanted = [f"{f.name} [N, {', '.join(map(str, f.shape))}]" for f in features]
    if set(given) != {feature.name for feature in features}:
        raise ExportError(f"to calibrate takes {wanted}, got {sorted(given)}")
    found = []
    for feature in features:
        value = np.asarray(given[feature.name])
        if (
            value.shape[1:] != feature.shape
            or value.dtype != feature.preprocessing.dtype
        ):
            raise ExportError(
                f"to calibrate takes {wanted} {feature.preprocessing.dtype}, got "
                f"{list(value.shape)} {value.dtype}"
            )
        x = feature.preprocessing(tf.constant(value)).numpy()
        if not len(x) or not np.isfinite(x).all():
            raise ExportError("to calibrate takes rows, all of them finite numbers")
        found.append(x)
    return found


def _by_node(
    network: Network, nodes: Sequence, found: Calibrated
) -> dict[str, tuple[float, float]]:
    """Returns {node: range}; a layer's range is that of its last node."""
    last = {node.layer: node.name for node in nodes if node.op != "input"}
    ranges = {last[n]: r for n, r in found.outputs.items() if n in last}
    names = [node.name for node in network.graph.inputs]
    return ranges | dict(zip(names, found.inputs, strict=True))


def audit_int8(
    model: bytes | schema.ModelT, layers: Sequence[str], backbone: Backbone
) -> dict[str, dict[str, int]]:
    """Returns {signature: {op: count}} of the int8 ops; compares them with the plan.

    Args:
      model: as it leaves the converter, names included.
      layers: names of all Keras layers, as used in the name scopes.
      backbone: what is meant to be int8.

    Raises:
      ExportError: a layer that is meant to be int8 multiplies in float, or an op that
        is not of the backbone is int8.
    """
    front = {scope_name(node) for node in backbone.graph.nodes}
    meant = {scope_name(n) for n in backbone.graph.nodes if n.layer in backbone.layers}
    found: dict[str, dict[str, int]] = {}
    products: dict[str, list[frozenset[str]]] = {s: [] for s in COMPUTING}
    tree = flatbuffer.read(model)
    for signature, op, fused, graph in audit.op_layers(tree, layers):
        name = flatbuffer.op_name(tree, op)
        if not _touches_int8(graph, op):
            continue
        # Names of constants that several layers share are among them.
        if name not in CHOOSING and not fused & front:
            raise ExportError(
                f"signature {signature!r}: {name} of layers {sorted(fused)} became "
                "int8, which only the frozen part is meant to be"
            )
        counts = found.setdefault(signature, {})
        counts[name] = counts.get(name, 0) + 1
        if name in audit.MULTIPLYING and flatbuffer.dtype(
            graph.tensors[op.inputs[0]]
        ) == ("int8"):
            products.setdefault(signature, []).append(fused)
    for signature in COMPUTING:
        seen = products[signature]
        lacking = sorted(meant.difference(*seen))
        if lacking or len(seen) != len(backbone.layers):
            raise ExportError(
                f"signature {signature!r}: {len(seen)} of {len(backbone.layers)} "
                f"layers multiply in int8; {lacking or 'some'} are meant to and do not"
            )
    return found


def _touches_int8(graph: schema.SubGraphT, op: schema.OperatorT) -> bool:
    tensors = (*flatbuffer.indices(op.inputs), *flatbuffer.indices(op.outputs))
    return "int8" in [flatbuffer.dtype(graph.tensors[i]) for i in tensors if i >= 0]
