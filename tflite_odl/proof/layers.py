"""Each distinct layer by itself, forward and backward, against TensorFlow's own ops.

A whole step is compared as tightly as float32 allows, which behind twenty batch norms
is not tight. A layer by itself is: what its lowering computes, run by the runtime, must
be what TensorFlow computes in float64, gradients included.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

import tflite_odl
from tflite_odl.builtin import chunks
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.isolated import RANDOM, Isolated
from tflite_odl.builtin.lowering import Lowering
from tflite_odl.proof.cache import Cache, processor
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.limits import CALM, TENSORFLOW_MULTIPLE
from tflite_odl.proof.references.ops import POSITIVE, Op

# Of the largest entry: a layer's sums have up to some thousand terms, whose float32
# roundings come to a few 1e-7, and single entries cancel in any order of summing.
TOLERANCE = 1e-5
PACKAGES = ("tensorflow", "ai-edge-litert", "numpy")
# Converts {signature: concrete function} to a model, and returns what runs a signature:
# (signature, inputs by name) -> outputs by name.
Convert = Callable[[Mapping[str, Callable]], Callable[[str, dict], dict]]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A node by its lowering, on as many rows as it runs on.

    Attributes:
      isolated: the node, with weights that are drawn.
      lowering: by which it is computed.
      rows: of a chunk.
    """

    isolated: Isolated
    lowering: Lowering
    rows: int

    @property
    def name(self) -> str:
        return (
            f"{self.isolated.node.name!r} ({self.isolated.node.op}, "
            f"{self.lowering.name})"
        )

    @property
    def masked(self) -> int:
        """Rows that do not count: one, where that leaves two."""
        return int(self.rows > 2)

    @functools.cached_property
    def function(self):
        """The concrete function of one step."""
        return self.isolated.traced(self.lowering, self.rows, self.masked)

    @functools.cached_property
    def key(self) -> str:
        """Of everything that decides what the runtime computes."""
        graph = self.function.graph.as_graph_def()
        found = hashlib.sha256(graph.SerializeToString(deterministic=True))
        found.update(repr(self.isolated.key).encode())
        found.update(_surroundings().encode())
        return found.hexdigest()

    def inputs(self) -> list[np.ndarray]:
        """Returns what the function is called with."""
        rng = np.random.default_rng(0)
        shapes = self.isolated.shapes(self.rows)
        count = len(self.isolated.inputs)
        values = [rng.normal(size=shape) for shape in shapes[: count + 1]]
        for place in POSITIVE.get(self.isolated.node.op, ()):
            values[place] = 0.5 + np.abs(values[place])
        values[count][self.rows - self.masked :] = 0
        if self.isolated.node.trainable:
            values += self.isolated.weights.values()
        return [np.asarray(value, np.float32) for value in values]

    def expected(self, inputs: Sequence[np.ndarray], dtype) -> list[np.ndarray]:
        """Returns the same outputs by TensorFlow's ops in a dtype."""
        count, isolated = len(self.isolated.inputs), self.isolated
        xs = [tf.constant(x, dtype) for x in inputs[:count]]
        dy = tf.constant(inputs[count], dtype)
        weights = {r: tf.constant(v, dtype) for r, v in isolated.weights.items()}
        mask = np.arange(self.rows) < self.rows - self.masked
        op = Op(isolated.node, weights, mask, np.array(RANDOM, np.int32))
        learning = [
            role
            for role in sorted(weights)
            if isolated.node.trainable and not role.startswith("moving")
        ]
        wanted = [x for x, want in zip(xs, isolated.wanted, strict=True) if want]
        watched = [*wanted, *(weights[role] for role in learning)]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            y = op(xs)
        gradients = tape.gradient(
            y, watched, dy, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [np.asarray(value) for value in (y, *gradients)]


def distinct(
    graph: Graph, plan: Mapping[str, Lowering], batch_size: int, limit: float
) -> list[Layer]:
    """Returns the layers of a net that gradients go through, equal ones once.

    Args:
      graph: the net.
      plan: {node name: lowering}.
      batch_size: rows of a train call.
      limit: bytes above which a layer runs in chunks of the batch.
    """
    counts = chunks.counts(graph, batch_size, limit)
    reached = graph.differentiated()
    found: dict[tuple, Layer] = {}
    for node in graph.nodes:
        if node.op == "input" or node.name not in reached:
            continue
        isolated = _drawn(Isolated.of(graph, node))
        lowering, rows = plan[node.name], batch_size // counts[node.name]
        key = (isolated.key, type(lowering), lowering.name, rows)
        found.setdefault(key, Layer(isolated, lowering, rows))
    return list(found.values())


def prove(
    layers: Iterable[Layer],
    convert: Convert,
    cache: Cache,
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[str, float]:
    """Proves each layer that was not proven before.

    Args:
      layers: distinct ones.
      convert: see `Convert`; all layers go into one model.
      cache: of the errors of layers that were right.
      progress: called with the name of each stage as it begins.

    Returns:
      How many layers there are, how many of them were known, and the largest error.

    Raises:
      ParityError: a layer is off; it is named, with the place.
    """
    progress("prove: layers")
    layers = list(layers)
    errors = {layer.key: cache.get(layer.key) for layer in layers}
    missing = [layer for layer in layers if errors[layer.key] is None]
    if missing:
        progress(f"prove: {len(missing)} layers by themselves")
        names = {f"layer{n}": layer for n, layer in enumerate(missing)}
        run = convert({name: layer.function for name, layer in names.items()})
        for name, layer in names.items():
            errors[layer.key] = _error(layer, functools.partial(run, name))
            cache.put(layer.key, errors[layer.key])
    return {
        "layers": len(layers),
        "known": len(layers) - len(missing),
        "layer": max(errors.values(), default=0.0),
    }


def _error(layer: Layer, run: Callable[[dict], dict]) -> float:
    """Returns the largest error of a layer that is right."""
    inputs = layer.inputs()
    exact = layer.expected(inputs, tf.float64)
    outputs = run({f"in{k}": value for k, value in enumerate(inputs)})
    found = [outputs[f"output_{k}"] for k in range(len(outputs))]
    if len(found) != len(exact):
        raise ParityError(
            f"layer {layer.name}: the lowering returns {len(found)} outputs and "
            f"gradients, TensorFlow {len(exact)}"
        )
    floor = 1e-6 * float(np.abs(inputs[len(layer.isolated.inputs)]).max())
    errors = [_off(g, e, floor) for g, e in zip(found, exact, strict=True)]
    rounded = None
    for place, error in enumerate(errors):
        if error <= TOLERANCE:
            continue
        # Where sums cancel, as in a batch norm of few values, TensorFlow's float32 is
        # off too.
        rounded = rounded or layer.expected(inputs, tf.float32)
        own = _off(rounded[place], exact[place], floor)
        limit = min(CALM, max(TOLERANCE, TENSORFLOW_MULTIPLE * own))
        if not error <= limit:
            what = "output" if place == 0 else f"gradient {place}"
            raise ParityError(
                f"layer {layer.name}, {what}: off by {error:.3g} of the largest entry "
                f"of TensorFlow's (limit {limit:.3g}), on {layer.rows} rows"
            )
    return max(errors)


def _off(got: np.ndarray, expected: np.ndarray, floor: float) -> float:
    """Returns the largest error relative to the largest entry, at least `floor`."""
    off = np.abs(got.astype(np.float64) - expected).max(initial=0.0)
    return float(np.nan_to_num(off, nan=np.inf)) / max(
        float(np.abs(expected).max(initial=0.0)), floor
    )


def _drawn(isolated: Isolated) -> Isolated:
    """Returns the node with weights of its shapes that tell nothing of the user's."""
    rng = np.random.default_rng(1)
    weights = {}
    for role, value in isolated.weights.items():
        drawn = rng.normal(0, 0.5, value.shape)
        if role in ("gamma", "moving_variance", "range"):
            drawn = rng.uniform(0.5, 1.5, value.shape)
        weights[role] = drawn.astype(np.float32)
    return dataclasses.replace(isolated, weights=weights)


@functools.cache
def _surroundings() -> str:
    """Returns versions, processor, and the sources that a conversion goes through."""
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    root = pathlib.Path(tflite_odl.__file__).parent
    sources = [*sorted((root / "exporter").glob("*.py")), pathlib.Path(__file__)]
    sources.append(pathlib.Path(__file__).parent / "references" / "ops.py")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return "\n".join([*versions, processor(), *digests])
