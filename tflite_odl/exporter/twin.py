"""The serving twin: a method's inference alone, with constant weights.

XNNPACK runs constant weights several times faster than weights read from variables. The
twin is converted from random placeholders, all different, since the converter stores
equal ones once and takes plain ones into others; each is then found in the file by its
values, and `host.bake` writes the true ones in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.builtin import fold, serving
from tflite_odl.builtin.judged import judged
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.encoded import (
    Encoding,
    Stored,
    encode,
    encodings,
    widened,
)
from tflite_odl.exporter.int8_tensors import Offsets
from tflite_odl.exporter.places import Place, buffers, places
from tflite_odl.folding import Formula
from tflite_odl.host.bake import LITTLE, Constant, Twin, patched
from tflite_odl.host.weights import Weight
from tflite_odl.methods.base import Method
from tflite_odl.methods.network import Network

Arrays = Mapping[str, np.ndarray]

CONSTANTS = b"tflite_odl.fold_constants"
SEED = 20_000


@dataclasses.dataclass(frozen=True)
class Served:
    """A serving twin.

    Attributes:
      model: the flatbuffer, with the shipped weights.
      twin: what the manifest says of it.
      ops: {op: count}.
      making: what its weights are made of.
      network: whose inference it is.
      kind: how its weights are stored.
      encoded: those that are stored in fewer bits, frozen ones among them.
      finish: the network's output -> outputs of `infer`, by name.
    """

    model: bytes
    twin: Twin
    ops: dict[str, int]
    making: Making
    network: Network
    kind: str = "float32"
    encoded: tuple[Weight, ...] = ()
    finish: Callable[[tf.Tensor], dict[str, tf.Tensor]] | None = None

    def bake(self, state: Arrays) -> bytes:
        """Returns the twin with the weights that a state makes."""
        return patched(self.model, self.twin, state)


class Inference(tf.Module):
    """`infer` with constant weights, as `convert` takes it.

    Args:
      method: whose inference it is.
      rows: of one call.
      run: what the network puts out for its preprocessed inputs.
    """

    def __init__(
        self,
        method: Method,
        rows: int,
        run: Callable[[Sequence[tf.Tensor]], tf.Tensor],
    ) -> None:
        super().__init__()
        served = method.serving()
        specs = served.network.specs(rows)

        def infer(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            inputs = {s.name: t for s, t in zip(specs, tensors, strict=True)}
            return served.finish(run(served.network.preprocess(inputs)))

        traced = tf.function(
            infer,
            input_signature=[tf.TensorSpec(s.shape, s.dtype, s.name) for s in specs],
            autograph=False,
        )
        self.functions = {contract.INFER: traced.get_concrete_function()}


def serve(method: Method, rows: int = 1, kind: str = "float32") -> Served:
    """Returns the serving twin of a method, with the weights it is shipped with.

    Args:
      method: what is exported.
      rows: of one infer call.
      kind: how its weights are stored, see `encoded.encodings`.

    Raises:
      ExportError: an op is not builtin, a weight is not in the file as it is, or no
        weight can be stored so.
    """
    network = method.serving().network
    made = Making.of(network, fold.folded(network.tail))
    frozen = made.needed()
    wanted = {} if kind == "float32" else encodings(made.graph, kind)
    if kind != "float32" and not wanted:
        raise ExportError(
            f"no layer of the serving twin has weights to store as {kind}"
        )
    model, found, stored, ops = _converted(method, rows, made.graph, frozen, wanted)
    weights = (*made.weights(found), *made.encoded(stored, Offsets(model)))
    whole = Twin(weights, {}, len(model))
    model = patched(model, whole, made.sources)
    kept = tuple(w for w in whole.weights if made.changes(w.formula))
    twin = Twin(kept, constants(model, frozen), len(model))
    encoded = tuple(w for w in weights if w.encoding != "float32")
    finish = method.serving().finish
    return Served(model, twin, ops, made, network, kind, encoded, finish)


@dataclasses.dataclass(frozen=True)
class Making:
    """What the weights of a twin are made of, by the names of a method's state.

    Attributes:
      graph: folded.
      formulas: {weight of it: how it is made of `sources`}.
      sources: {name: value as shipped}, of the state and frozen ones.
      state: names of those of the state.
    """

    graph: fold.Graph
    formulas: Mapping[str, Formula]
    sources: Arrays
    state: frozenset[str]

    @classmethod
    def of(cls, network: Network, folded: fold.Folded) -> Making:
        """Returns what a network's folded graph is made of."""
        names = {name: network.prefix + name for name in network.graph.stateful}
        return cls(
            folded.graph,
            {n: f.renamed(names) for n, f in folded.formulas.items()},
            {names.get(n, n): value for n, value in folded.sources.items()},
            frozenset(names.values()),
        )

    def changes(self, *formulas: Formula) -> bool:
        """Whether training changes what one of the formulas makes."""
        return any(self.state.intersection(f.sources) for f in formulas)

    def needed(self) -> Arrays:
        """Returns the frozen sources of weights that also have some in the state."""
        return {
            name: self.sources[name]
            for formula in self.formulas.values()
            if self.changes(formula)
            for name in formula.sources
            if name not in self.state
        }

    def weights(self, found: Mapping[str, list[Place]]) -> tuple[Weight, ...]:
        """Returns the float32 weights of a twin; found: where each lies."""
        return tuple(
            Weight(
                self.formulas[name],
                place.offset,
                place.order,
                self.formulas[name].value(self.sources).nbytes,
            )
            for name, where in found.items()
            for place in where
        )

    def encoded(
        self, stored: Mapping[str, Stored], offsets: Offsets
    ) -> tuple[Weight, ...]:
        """Returns the weights of a twin in fewer bits; stored: where each lies."""
        found = []
        for name, one in stored.items():
            offset, scales = offsets.weights(one.tensor)
            kind, axes = one.encoding.kind, one.encoding.axes
            formula = self.formulas[name]
            found.append(
                Weight(formula, offset, one.order, one.bytes, kind, axes, scales)
            )
        places = [at for w in found for at in (w.offset, w.scales) if at is not None]
        if len(places) != len(set(places)):
            raise ExportError("the serving twin stores two weights at one place")
        return tuple(found)


def _converted(
    method: Method,
    rows: int,
    graph: fold.Graph,
    frozen: Arrays,
    wanted: Mapping[str, Encoding],
) -> tuple[bytes, dict[str, list[Place]], dict[str, Stored], dict[str, int]]:
    """Returns (file with placeholders, where each weight lies, those that are encoded,
    its ops).

    Where the converter took something into a weight, the nodes of that weight are kept
    apart from what is around them, once.
    """
    placeholders = random_weights(graph.weights)
    graph = dataclasses.replace(graph, weights=placeholders)
    network, apart = method.serving().network, set()
    while True:

        def run(x: Sequence[tf.Tensor], apart=apart) -> tf.Tensor:
            return _run(graph, network, x, apart, wanted)

        module, int8 = Inference(method, rows, run), network.backbone is not None
        tree = flatbuffer.read(convert(module, int8))
        audited = audit.audit(tree, method.layers())
        audited.check()
        stored = encode(tree, placeholders, wanted)
        model = with_constants(compact(tree), frozen)
        plain = {n: w for n, w in placeholders.items() if n not in wanted}
        found = places(model, plain)
        lost = {name for name, where in found.items() if not where}
        lost |= wanted.keys() - stored.keys()
        if not lost:
            ops = audited.ops_by_signature[contract.INFER]
            return model, found, stored, {**ops, **widened(stored)}
        nodes = {n.name for n in graph.nodes if lost.intersection(n.weights.values())}
        if nodes <= apart:
            raise ExportError(
                f"the serving twin does not hold the weights {sorted(lost)} as they "
                "are: export without a twin (serve=False), and please report the layer"
            )
        apart |= nodes


def _run(
    graph: fold.Graph,
    network: Network,
    x: Sequence[tf.Tensor],
    apart: Collection[str],
    wanted: Mapping[str, Encoding],
) -> tf.Tensor:
    """Returns what the folded graph puts out.

    Kernels of few bits quantize what they read, so rows are judged before.
    """

    def values(x: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"y": serving.serve(graph, network.start(x), apart=apart)}

    few = any(one.kind in ("int4", "int2") for one in wanted.values())
    return (judged(x, values) if few else values(x))["y"]


def random_weights(weights: Arrays) -> dict[str, np.ndarray]:
    """Returns placeholders, all different."""
    rng = np.random.default_rng(SEED)
    return {
        name: rng.standard_normal(value.shape).astype(np.float32)
        for name, value in weights.items()
    }


def with_constants(model: bytes, frozen: Arrays) -> bytes:
    """Returns the file with frozen weights beside the model, which does not use them.

    They are one note of the file's metadata, one after the other.
    """
    if not frozen:
        return model
    content = b"".join(value.astype(LITTLE).tobytes() for value in frozen.values())
    return flatbuffer.with_note(model, CONSTANTS, content)


def constants(model: bytes, frozen: Arrays) -> dict[str, Constant]:
    """Returns where `with_constants` has put each."""
    if not frozen:
        return {}
    content = b"".join(value.astype(LITTLE).tobytes() for value in frozen.values())
    (offset,) = [at for at, found in buffers(model) if found.tobytes() == content]
    kept = {}
    for name, value in frozen.items():
        kept[name] = Constant(offset, value.shape)
        offset += value.nbytes
    return kept
