"""The serving twin: a method's inference alone, with constant weights.

XNNPACK runs constant weights several times faster than weights read from variables. The
twin is converted from random placeholders, all different, since the converter stores
equal ones once and takes plain ones into others; each is then found in the file by its
values, and `host.bake` writes the true ones in its place. Quantized kernels are stored
in int8, see `narrow`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.builtin import fold, serving
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer, narrow
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.places import Place, buffers, places, quantized
from tflite_odl.folding import Formula
from tflite_odl.host.bake import LITTLE, Constant, Twin, Weight, patched
from tflite_odl.leveling import Range
from tflite_odl.methods.base import Method

Arrays = Mapping[str, np.ndarray]

CONSTANTS = b"tflite_odl.fold_constants"
SEED = 20_000
# Op families whose output takes few values.
DISCRETE = ("sign", "rounded")


@dataclasses.dataclass(frozen=True)
class Served:
    """A serving twin.

    Attributes:
      model: the flatbuffer, with the shipped weights.
      twin: what the manifest says of it.
      ops: {op: count}.
      discrete: whether activations take few levels.
    """

    model: bytes
    twin: Twin
    ops: dict[str, int]
    discrete: bool = False

    def bake(self, state: Arrays) -> bytes:
        """Returns the twin with the weights that a state makes."""
        return patched(self.model, self.twin, state)


class _Module(tf.Module):
    """`infer` with constant weights, as `convert` takes it."""

    def __init__(
        self, method: Method, rows: int, graph: fold.Graph, apart: Collection[str]
    ) -> None:
        super().__init__()
        served = method.serving()
        specs = served.network.specs(rows)

        def infer(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            inputs = {s.name: t for s, t in zip(specs, tensors, strict=True)}
            x = served.network.start(served.network.preprocess(inputs))
            return served.finish(serving.serve(graph, x, apart=apart))

        traced = tf.function(
            infer,
            input_signature=[tf.TensorSpec(s.shape, s.dtype, s.name) for s in specs],
            autograph=False,
        )
        self.functions = {contract.INFER: traced.get_concrete_function()}


def serve(method: Method, rows: int = 1) -> Served:
    """Returns the serving twin of a method, with the weights it is shipped with.

    Args:
      method: what is exported.
      rows: of one infer call.

    Raises:
      ExportError: an op is not builtin, or a weight is not in the file as it is.
    """
    network = method.serving().network
    folded = fold.folded(network.tail)
    names = {name: network.prefix + name for name in network.graph.stateful}
    formulas = {n: f.renamed(names) for n, f in folded.formulas.items()}
    sources = {names.get(n, n): value for n, value in folded.sources.items()}
    frozen = _needed(formulas, sources, set(names.values()))
    model, found, ops = _converted(method, rows, folded, frozen)
    scales = {one.offset: one.scales for one in quantized(model)}
    whole = Twin(_weights(formulas, sources, found, scales), {}, len(model))
    model = patched(model, whole, sources)
    state = set(names.values())
    kept = tuple(w for w in whole.weights if state.intersection(w.formula.sources))
    twin = Twin(kept, _constants(model, frozen), len(model))
    discrete = any(node.op in DISCRETE for node in network.tail.nodes)
    return Served(model, twin, ops, discrete)


def _needed(
    formulas: Mapping[str, Formula | Range], sources: Arrays, state: set
) -> Arrays:
    """Returns the frozen sources of weights that also have some in the state."""
    return {
        name: sources[name]
        for formula in formulas.values()
        if state.intersection(formula.sources)
        for name in formula.sources
        if name not in state
    }


def _converted(
    method: Method, rows: int, folded: fold.Folded, constants: Arrays
) -> tuple[bytes, dict[str, list[Place]], dict[str, int]]:
    """Returns (file with placeholders, where each weight lies, its ops).

    Where the converter took something into a weight, the nodes of that weight are kept
    apart from what is around them, once.
    """
    placeholders = _placeholders(folded.graph.weights)
    graph = dataclasses.replace(folded.graph, weights=placeholders)
    kernels = {
        name: (placeholders[name], formula.axes)
        for name, formula in folded.formulas.items()
        if _quantized(formula)
    }
    stored = {name: narrow.placeholder(value) for name, (value, _) in kernels.items()}
    apart: set[str] = set()
    while True:
        module = _Module(method, rows, graph, apart)
        int8 = method.serving().network.backbone is not None
        tree = flatbuffer.read(convert(module, int8))
        narrow.narrow(tree, kernels)
        audited = audit.audit(tree, method.layers())
        audited.check()
        model = _with_constants(compact(tree), constants)
        found = places(model, placeholders | stored)
        lost = {name for name, where in found.items() if not where}
        if not lost:
            return model, found, audited.ops_by_signature[contract.INFER]
        nodes = {n.name for n in graph.nodes if lost.intersection(n.weights.values())}
        if nodes <= apart:
            raise ExportError(
                f"the serving twin does not hold the weights {sorted(lost)} as they "
                "are: export without a twin (serve=False), and please report the layer"
            )
        apart |= nodes


def _quantized(formula: Formula | Range) -> bool:
    return isinstance(formula, Formula) and formula.levels is not None


def _placeholders(weights: Arrays) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    return {
        name: rng.standard_normal(value.shape).astype(np.float32)
        for name, value in weights.items()
    }


def _weights(
    formulas: Mapping[str, Formula | Range],
    sources: Arrays,
    found: Mapping[str, list[Place]],
    scales: Mapping[int, int],
) -> tuple[Weight, ...]:
    weights = []
    for name, where in found.items():
        formula = formulas[name]
        value = formula.value(sources)
        for place in where:
            scale, size = None, value.nbytes
            if _quantized(formula):
                scale, size = scales[place.offset], value.size
            weights.append(Weight(formula, place.offset, place.order, size, scale))
    return tuple(weights)


def _with_constants(model: bytes, constants: Arrays) -> bytes:
    """Returns the file with frozen weights beside the model, which does not use them.

    They are one note of the file's metadata, one after the other.
    """
    if not constants:
        return model
    content = b"".join(value.astype(LITTLE).tobytes() for value in constants.values())
    return flatbuffer.with_note(model, CONSTANTS, content)


def _constants(model: bytes, constants: Arrays) -> dict[str, Constant]:
    """Returns where `_with_constants` has put each."""
    if not constants:
        return {}
    content = b"".join(value.astype(LITTLE).tobytes() for value in constants.values())
    (offset,) = [at for at, found in buffers(model) if found.tobytes() == content]
    kept = {}
    for name, value in constants.items():
        kept[name] = Constant(offset, value.shape)
        offset += value.nbytes
    return kept
