"""Which ops each signature runs, which layer they came from, and what must not be.

The training graph is traced under the name scopes `forward/<layer>/...` and
`backward/<layer>/...`, and the converter keeps the path in the names of tensors. So
the audit reads the file as it leaves the converter, before `flatbuffer.compact` takes
the names away.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract
from tflite_odl.builtin.space import overhangs
from tflite_odl.errors import ExportError
from tflite_odl.exporter import flatbuffer

# Ops that multiply: one for each layer that is int8.
MULTIPLYING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")

_SCOPE = re.compile(r"(?:^|/)(?:forward|backward)/([^;]+)")


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a converted model runs.

    Attributes:
      ops: {signature: {op: {layer: count}}}, subgraphs it calls included, each
        counted once; layer "" is the rest (loss, optimizer, bookkeeping).
      flags: what works on one runtime and is silently wrong on another, one sentence
        for each; empty for a model that may be shipped.
    """

    ops: dict[str, dict[str, dict[str, int]]]
    flags: tuple[str, ...] = ()

    @property
    def ops_by_signature(self) -> dict[str, dict[str, int]]:
        """Returns {signature: {op: count}}."""
        return {
            signature: {op: sum(layers.values()) for op, layers in ops.items()}
            for signature, ops in self.ops.items()
        }

    def check(self) -> None:
        """Raises ExportError with the flags, if there are any."""
        if self.flags:
            raise ExportError("the converted model is unsafe: " + "; ".join(self.flags))


def audit(model: bytes | schema.ModelT, layers: Sequence[str]) -> Audit:
    """Counts the ops of each signature and looks for the known traps.

    Args:
      model: as it leaves the converter, names included.
      layers: names of the Keras layers, as used in the name scopes.

    Raises:
      ExportError: a Flex or custom op, named with its signature and layer.
    """
    tree = flatbuffer.read(model)
    ops, foreign, flags = {}, [], []
    for entry in flatbuffer.signatures(tree).values():
        counts: dict[str, collections.Counter] = collections.defaultdict(
            collections.Counter
        )
        for op, layer, graph in _walk(tree, entry.subgraph, layers):
            name = flatbuffer.op_name(tree, op)
            counts[name][layer] += 1
            if flatbuffer.is_custom(tree, op):
                foreign.append((name, entry.name, layer))
            elif name == "REVERSE_V2":
                flags += _reverse(tree, graph, op, f"{entry.name!r}, {_where(layer)}")
            elif name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                flags += _padding(graph, op, name, f"{entry.name!r}, {_where(layer)}")
        ops[entry.name] = {name: dict(counts[name]) for name in sorted(counts)}
        flags += _boundary(tree, entry)
    if foreign:
        raise ExportError(_foreign(foreign))
    return Audit(ops, tuple(dict.fromkeys(flags)))


def op_layers(
    model: bytes | schema.ModelT, layers: Sequence[str]
) -> Iterator[tuple[str, schema.OperatorT, frozenset[str], schema.SubGraphT]]:
    """Yields (signature, op, all layers that are fused in it, its subgraph)."""
    tree = flatbuffer.read(model)
    for entry in flatbuffer.signatures(tree).values():
        for op, _, graph in _walk(tree, entry.subgraph, layers):
            names = [
                name
                for index in flatbuffer.indices(op.outputs)
                for name in flatbuffer.text(graph.tensors[index].name).split(";")
            ]
            found = frozenset(layer_of(name, layers) for name in names) - {""}
            yield entry.name, op, found, graph


def layer_of(names: str, layers: Sequence[str]) -> str:
    """Returns the layer a tensor's name belongs to, or "".

    A fused tensor has several names joined by `;`; the first that has a layer counts.
    Layers may have `/` in their names: the longest that fits is taken.
    """
    for name in names.split(";"):
        if found := _SCOPE.search(name):
            path = found[1] + "/"
            fitting = [layer for layer in layers if path.startswith(layer + "/")]
            if fitting:
                return max(fitting, key=len)
    return ""


def _walk(
    tree: schema.ModelT, subgraph: int, layers: Sequence[str]
) -> Iterator[tuple[schema.OperatorT, str, schema.SubGraphT]]:
    """Yields (op, layer, its subgraph) of a subgraph and of those it calls.

    An op of a branch that names no layer belongs to the layer of the IF.
    """
    inherited = {subgraph: ""}
    order = [subgraph]
    for index in order:
        graph = tree.subgraphs[index]
        for op in graph.operators or ():
            layer = _op_layer(graph, op, layers) or inherited[index]
            for called in flatbuffer.calls(op):
                if called not in inherited:
                    inherited[called] = layer
                    order.append(called)
            yield op, layer, graph


def _op_layer(
    graph: schema.SubGraphT, op: schema.OperatorT, layers: Sequence[str]
) -> str:
    """An op with outputs goes by their names, ASSIGN_VARIABLE by its inputs'."""
    tensors = flatbuffer.indices(op.outputs) or flatbuffer.indices(op.inputs)
    for index in tensors:
        if layer := layer_of(flatbuffer.text(graph.tensors[index].name), layers):
            return layer
    return ""


def _foreign(found: list[tuple[str, str, str]]) -> str:
    lines = [
        f"{name} x {count} in signature {signature!r}, {_where(layer)}"
        for (name, signature, layer), count in collections.Counter(found).items()
    ]
    return (
        "ops that the stock LiteRT runtime does not have: "
        + "; ".join(lines)
        + ". Only builtin ops may be exported: replace or freeze these layers"
    )


def _where(layer: str) -> str:
    return f"layer {layer!r}" if layer else "outside any layer"


def _reverse(
    tree: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT, where: str
) -> Iterator[str]:
    """TFLite 2.14 computes a reversal of two axes wrongly, without an error."""
    axes = graph.tensors[op.inputs[1]]
    if int(np.prod(axes.shape)) > 1:
        yield (
            f"signature {where}: REVERSE_V2 over {int(np.prod(axes.shape))} axes is "
            "wrong on older runtimes, use one tf.reverse per axis"
        )


def _padding(
    graph: schema.SubGraphT, op: schema.OperatorT, name: str, where: str
) -> Iterator[str]:
    """XNNPACK up to LiteRT 2.1 pads wrongly where SAME has nothing to pad."""
    options = op.builtinOptions
    if options.padding != schema.Padding.SAME:
        return
    image, kernel = (graph.tensors[index].shape for index in op.inputs[:2])
    strides = options.strideH, options.strideW
    dilations = options.dilationHFactor, options.dilationWFactor
    reach = [(k - 1) * d + 1 for k, d in zip(kernel[1:3], dilations)]
    if reach != [1, 1] and any(map(overhangs, image[1:3], reach, strides)):
        yield (
            f"signature {where}: {name} of kernel {[*map(int, kernel[1:3])]}, strides "
            f"{[*strides]} and padding SAME over {[*map(int, image[1:3])]} is wrong on "
            "runtimes up to LiteRT 2.1, pad before it and take VALID"
        )


def _boundary(tree: schema.ModelT, entry: flatbuffer.Entry) -> Iterator[str]:
    """Inputs and outputs that CompiledModel or Java get wrong."""
    graph = tree.subgraphs[entry.subgraph]
    produced = {
        index
        for op in graph.operators or ()
        for index in flatbuffer.indices(op.outputs)
    }
    for kind, tensors in (("input", entry.inputs), ("output", entry.outputs)):
        for name, index in tensors.items():
            where = f"signature {entry.name!r}, {kind} {name!r}"
            yield from _tensor(graph.tensors[index], where)
    for name, index in entry.outputs.items():
        where = f"signature {entry.name!r}, output {name!r}"
        if index in entry.inputs.values():
            yield f"{where} is an input passed through"
        elif index not in produced:
            yield f"{where} is not computed by an op"
    if not entry.inputs:
        yield f"signature {entry.name!r} has no input: Java needs one"


def _tensor(tensor: schema.TensorT, where: str) -> Iterator[str]:
    if tensor.shape is None or len(tensor.shape) == 0:
        yield f"{where} has rank 0: CompiledModel returns garbage, reshape to [1]"
    elif tensor.shapeSignature is not None and min(tensor.shapeSignature) < 0:
        yield f"{where} has a shape that is not fixed: {list(tensor.shapeSignature)}"
    if flatbuffer.dtype(tensor) not in contract.DTYPES:
        yield (
            f"{where} is {flatbuffer.dtype(tensor)}, the contract allows "
            f"{', '.join(contract.DTYPES)}"
        )
