"""The serving twin: a method's inference alone, with constant weights.

XNNPACK runs constant weights several times faster than weights read from variables. The
twin is converted from random placeholders, all different, since the converter stores
equal ones once and takes plain ones into others; each is then found in the file by its
values, and `host.bake` writes the true ones in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.builtin import fold, serving
from tflite_odl.errors import ExportError
from tflite_odl.exporter import audit, flatbuffer
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.places import Place, buffers, places
from tflite_odl.folding import Formula
from tflite_odl.host.bake import LITTLE, Constant, Twin, Weight, patched
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
    """

    model: bytes
    twin: Twin
    ops: dict[str, int]

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


def serve(method: Method, rows: int = 1) -> Served:
    """Returns the serving twin of a method, with the weights it is shipped with.

    Args:
      method: what is exported.
      rows: of one infer call.

    Raises:
      ExportError: an op is not builtin, or a weight is not in the file as it is.
    """
    network = method.serving().network
    made = Making.of(network, fold.folded(network.tail))
    frozen = made.needed()
    model, found, ops = _converted(method, rows, made.graph, frozen)
    whole = Twin(made.weights(found), {}, len(model))
    model = patched(model, whole, made.sources)
    kept = tuple(w for w in whole.weights if made.changes(w.formula))
    return Served(model, Twin(kept, constants(model, frozen), len(model)), ops)


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


def _converted(
    method: Method, rows: int, graph: fold.Graph, frozen: Arrays
) -> tuple[bytes, dict[str, list[Place]], dict[str, int]]:
    """Returns (file with placeholders, where each weight lies, its ops).

    Where the converter took something into a weight, the nodes of that weight are kept
    apart from what is around them, once.
    """
    placeholders = random_weights(graph.weights)
    graph = dataclasses.replace(graph, weights=placeholders)
    network, apart = method.serving().network, set()
    while True:

        def run(x: Sequence[tf.Tensor], apart=apart) -> tf.Tensor:
            return serving.serve(graph, network.start(x), apart=apart)

        module, int8 = Inference(method, rows, run), network.backbone is not None
        tree = flatbuffer.read(convert(module, int8))
        audited = audit.audit(tree, method.layers())
        audited.check()
        model = with_constants(compact(tree), frozen)
        found = places(model, placeholders)
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
