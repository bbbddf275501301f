"""A frozen layer as its forward pass: Keras' own function of it, weights as constants.

Where no gradient goes, a layer needs no lowering: whatever TensorFlow computes in it,
the converter makes builtin ops of, or refuses. That holds for every layer that is
frozen and has nothing that learns before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from tflite_odl.builtin.graph import Graph, Node
from tflite_odl.errors import ModelError

OP = "carried"
# Of the largest entry: what a layer computes twice from the same numbers.
_SAME = 1e-6
_ROWS = 2


def add(context, why: ModelError) -> list[tuple[str, str | None]]:
    """Adds a layer's call as its forward pass; returns (node, mask) of each output.

    Args:
      context: of the layer, a `reading.graph.LayerContext`.
      why: what speaks against the layer's converter.

    Raises:
      ModelError: `why`, if the layer learns, or reads what depends on one that does; or
        what keeps the layer from being carried.
    """
    if context.learns:
        raise why
    layer = context.layer
    if getattr(layer, "activity_regularizer", None) is not None:
        raise context.refuse(
            "frozen as it is, its activity regularizer would vanish from the loss",
            "the layer without it",
        ) from why
    context.builder.add_penalties(layer, context.path)
    if None in (
        size for t in tf.nest.flatten(context.call.outputs) for size in t.shape[1:]
    ):
        raise context.refuse("its outputs have open sizes", "fixed shapes") from why
    if isinstance(layer, _tables()):
        context.builder.index(context.inputs[0], layer.input_dim)
    forward = Forward(
        context.call, context.path, [m is not None for m in context.masks], why
    )
    context.inputs = [*context.inputs, *filter(None, context.masks)]
    inputs, found = context.inputs, []
    for place, tensor in enumerate(tf.nest.flatten(context.call.outputs)):
        mask = None
        if (made := getattr(tensor, "_keras_mask", None)) is not None:
            mask = _output(context, inputs, forward, f"mask{place}", made.shape)
        suffix = f"output{place}" if place else ""
        found.append((_output(context, inputs, forward, suffix, tensor.shape), mask))
    return found


def _output(context, inputs, forward: Forward, place: str, shape) -> str:
    context.inputs = list(inputs)
    suffix = f"/{place}" if place else ""
    attributes = {"forward": forward, "place": place}
    return context.add(OP, shape[1:], attributes, suffix=suffix)


def _tables() -> type:
    import tf_keras

    return tf_keras.layers.Embedding


def check(graph: Graph) -> None:
    """Raises ModelError for a layer whose forward pass is another one in training."""
    checked: set[int] = set()
    for node in graph.nodes:
        if node.op == OP and id(node.attributes["forward"]) not in checked:
            checked.add(id(node.attributes["forward"]))
            node.attributes["forward"].check(graph, node)


class Forward:
    """One call of a Keras layer, in inference, as a function of float32 tensors.

    Args:
      call: of the layer, a Keras node.
      path: of the layer, for messages.
      masked: for each input, whether its mask is given, too.
      refused: why the layer has no lowering, or this one has none.
    """

    def __init__(
        self, call: Any, path: str, masked: Sequence[bool], refused: ModelError
    ) -> None:
        self.call, self.path, self.masked = call, path, tuple(masked)
        self.refused = refused

    def __call__(self, tensors: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the outputs, and as "mask" their masks, in float32.

        Args:
          tensors: one [B, ...] float32 for each input, then one [B, T] for each mask.
        """
        if tf.executing_eagerly():
            return self.run(tensors, training=False)
        # Anew each time: loops that two signatures share, the converter fails to lower.
        with tf.init_scope():  # out of the graph that is being traced
            constant, names = self._freeze([tensor.shape for tensor in tensors])
        # Inputs that the layer does not read are pruned: go by name.
        given = dict(zip(self.names(len(tensors)), tensors, strict=True))
        inputs = {t.name: given[t.op.name] for t in constant.inputs}
        outputs = tf.graph_util.import_graph_def(
            constant.graph.as_graph_def(),
            inputs,
            [t.name for t in constant.outputs],
            name="layer",
        )
        return dict(zip(names, outputs, strict=True))

    def _freeze(self, shapes: Sequence[tf.TensorShape]) -> tuple[Any, list[str]]:
        """Returns the function for such inputs, weights as constants, and the names of
        its outputs in order."""
        specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        traced = self.traced(specs, training=False)
        constant = convert_variables_to_constants_v2(traced, lower_control_flow=False)
        return constant, sorted(traced.structured_outputs)

    def names(self, count: int) -> list[str]:
        return [f"t{number}" for number in range(count)]

    def traced(self, specs: Sequence[tf.TensorSpec], training: bool):
        """Returns the concrete function of the call, weights as variables."""
        names = self.names(len(specs))
        specs = [
            tf.TensorSpec(spec.shape, spec.dtype, name=name)
            for spec, name in zip(specs, names, strict=True)
        ]
        function = tf.function(
            lambda *tensors: self.run(tensors, training),
            input_signature=specs,
            autograph=False,
        )
        try:
            return function.get_concrete_function()
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise self.cannot(f"tracing it fails: {error}") from error

    def run(self, tensors: Sequence[tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        """Returns what Keras' layer makes of the tensors."""
        symbols = self.call.keras_inputs
        masks = iter(tensors[len(symbols) :])
        given = {}
        for symbol, tensor, masked in zip(symbols, tensors, self.masked):
            value = tf.cast(tensor, symbol.dtype)
            if masked:
                value = tf.identity(value)
                value._keras_mask = tf.cast(next(masks), tf.bool)
            given[id(symbol)] = value
        args, kwargs = tf.nest.map_structure(
            lambda leaf: given.get(id(leaf), leaf),
            (tuple(self.call.call_args), dict(self.call.call_kwargs)),
        )
        if self.layer._expects_training_arg:
            said = kwargs.get("training")
            kwargs["training"] = training if said is None else said
        found = {}
        for place, y in enumerate(tf.nest.flatten(self.layer(*args, **kwargs))):
            name = f"output{place}" if place else ""
            found[name] = tf.cast(tf.identity(y), tf.float32)
            if (mask := getattr(y, "_keras_mask", None)) is not None:
                found[f"mask{place}"] = tf.cast(mask, tf.float32)
        return found

    @property
    def layer(self) -> Any:
        return self.call.layer

    def check(self, graph: Graph, node: Node) -> None:
        """Raises ModelError if the layer draws, keeps a state, mixes rows, or computes
        something else in training than in inference, as its frozen copy would."""
        shapes = [[_ROWS, *shape] for shape in graph.input_shapes(node)]
        specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        trained = self.traced(specs, training=True)
        for op in _ops(trained):
            if "Random" in op or "Multinomial" in op:
                raise self.cannot("in training it draws at random")
            if op.startswith("Assign"):
                raise self.cannot("it keeps a state from call to call")
        values = [np.ones(shape, np.float32) for shape in shapes]
        inferred = self.traced(specs, training=False)
        tensors = [tf.constant(value) for value in values]
        try:
            pairs = [_flat(traced(*tensors)) for traced in (trained, inferred)]
        except tf.errors.OpError as error:
            raise self.cannot(f"running it fails: {error.message}") from error
        if not all(map(_same, *pairs)):
            raise self.cannot("in training it computes something else")
        others = [np.concatenate([v[:1], np.zeros_like(v[1:])]) for v in values]
        beside = _flat(inferred(*map(tf.constant, others)))
        firsts = [[y[:1] for y in outputs] for outputs in (pairs[1], beside)]
        if any(len(y) != _ROWS for y in beside) or not all(map(_same, *firsts)):
            raise self.cannot("a row's output depends on the other rows")

    def cannot(self, why: str) -> ModelError:
        return ModelError(
            f"{self.refused}. Frozen, it could be carried as its forward pass, but "
            f"{why}; call it with training=False, or leave it out"
        )


def _ops(traced) -> set[str]:
    """Returns the types of all ops of a function and of those it calls."""
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {node.op for node in nodes}


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    size = max(float(np.abs(theirs).max(initial=0.0)), 1e-30)
    return bool(np.abs(ours - theirs).max(initial=0.0) <= _SAME * size)


def _flat(outputs: dict[str, tf.Tensor]) -> list[np.ndarray]:
    return [outputs[name].numpy() for name in sorted(outputs)]
