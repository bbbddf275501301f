"""A tf_keras model -> a layer graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence

import tensorflow as tf
import tf_keras

from tflite_odl.builtin import random
from tflite_odl.builtin.graph import Graph
from tflite_odl.errors import ModelError
from tflite_odl.reading import carried, instead, masks, penalties, understood
from tflite_odl.reading.builder import GraphBuilder
from tflite_odl.reading.context import LayerContext, Value
from tflite_odl.reading.layers import CONVERTERS, MASKED

_MASKED_OUTPUT = (
    "model {!r}: its output has a mask, by which Keras' fit would leave steps out of "
    "the loss; here all steps count: give the others no label"
)
_TimeDistributed = tf_keras.layers.TimeDistributed


def from_keras(
    model: tf_keras.Model,
    trainable: Collection[str],
    batch_norm: str = "batch",
    salts: Callable[[str], int] | None = None,
) -> Graph:
    """Returns the layer graph of a functional or sequential model.

    Args:
      model: built, channels last, one output.
      trainable: names of the layers that learn (nested ones as "outer/inner").
      batch_norm: "batch": trainable batch norms use batch statistics in training, as
        in Keras; "frozen": they keep their moving statistics.
      salts: name of a draw -> its salt, see `random.Salts`; None: no other draws are
        made beside the model's.

    Raises:
      ModelError: a layer, or an option of one, that cannot be lowered; it is named.

    Warns:
      UserWarning: the output has a Keras mask, which the loss here does not see.
    """
    if batch_norm not in ("batch", "frozen"):
        raise ModelError(f"batch_norm is 'batch' or 'frozen', got {batch_norm!r}")
    builder = GraphBuilder(trainable, batch_norm, salts or random.Salts())
    sources = [Value(builder.add_input(tensor)) for tensor in model.inputs]
    outputs = _walk(model, builder, sources, "")
    if len(outputs) != 1:
        raise ModelError(f"model {model.name!r} has {len(outputs)} outputs, needs one")
    if outputs[0].mask is not None:
        warnings.warn(_MASKED_OUTPUT.format(model.name), stacklevel=3)
    graph = builder.finish(outputs[0].node)
    carried.check(graph)
    return graph


def variables(model: tf_keras.Model) -> dict[str, tf.Variable]:
    """Returns {weight name: Keras variable}, the names being those of the graph."""
    builder = GraphBuilder((), "batch", random.Salts())
    _walk(model, builder, [Value(builder.add_input(t)) for t in model.inputs], "")
    return builder.variables


def _walk(
    model: tf_keras.Model, builder: GraphBuilder, sources: Sequence[Value], path: str
) -> list[Value]:
    """Adds every layer of the model; returns its outputs."""
    if not getattr(model, "_nodes_by_depth", None):
        raise ModelError(
            f"model {model.name!r} is subclassed or not built: use the functional or "
            "the sequential API, and give the input's shape"
        )
    known = {id(t): value for t, value in zip(model.inputs, sources, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            if isinstance(call.layer, tf_keras.layers.InputLayer):
                continue
            inputs = [known[id(tensor)] for tensor in call.keras_inputs]
            with builder.inference(call.call_kwargs.get("training") is False):
                found = _add_layer(call, builder, inputs, path)
            for tensor, value in zip(tf.nest.flatten(call.outputs), found, strict=True):
                known[id(tensor)] = value
    return [known[id(tensor)] for tensor in model.outputs]


def _add_layer(
    call, builder: GraphBuilder, inputs: list[Value], path: str
) -> list[Value]:
    """Adds a layer by its converter, or, frozen with nothing that learns before it, as
    its forward pass; returns its outputs."""
    layer = call.layer
    if isinstance(layer, tf_keras.Model):
        return _walk(layer, builder, inputs, f"{path}{layer.name}/")
    convert = _over_time if isinstance(layer, _TimeDistributed) else _converted

    def context() -> LayerContext:
        nodes, found = [v.node for v in inputs], [v.mask for v in inputs]
        return LayerContext(builder, layer, path + layer.name, nodes, call, found)

    before = builder.nodes, builder.variables
    builder.nodes, builder.variables = dict(builder.nodes), dict(builder.variables)
    try:
        return convert(context())
    except ModelError as error:
        builder.nodes, builder.variables = before
        outputs = carried.add(context(), error)
        return [Value(node, mask) for node, mask in outputs]


def _converted(context: LayerContext) -> list[Value]:
    kind = type(context.layer).__name__
    if kind not in CONVERTERS:
        raise ModelError(
            f"layer {context.path!r} ({kind}) cannot be trained with builtin ops: "
            f"{instead.way(kind)}"
        )
    understood.check_layer(context.layer, context.path)
    if kind not in MASKED:
        context.mask = masks.after(context)
    found = CONVERTERS[kind](context)
    outputs = [found] if isinstance(found, str) else found
    for node in outputs:
        context.builder.add_terms(context.layer, context.path, node)
    return [Value(node, context.mask) for node in outputs]


def _over_time(context: LayerContext) -> list[Value]:
    """Adds the layer, or the model, inside a TimeDistributed at every step."""
    layer, builder = context.layer.layer, context.builder
    understood.check_layer(context.layer, context.path)
    parts = [one for one in layer._flatten_layers() if one.weights]
    if len({one.trainable for one in parts}) > 1:
        raise context.refuse("a part of what is inside is frozen", "all or nothing")
    if any(penalties.activity(one, context.path) for one in layer._flatten_layers()):
        raise context.refuse("a layer inside has an activity_regularizer", "none")
    if builder.steps or len(context.shape) < 2:
        raise context.refuse(f"an input of shape {context.shape}", "[B, T, ...]")
    with builder.over_time(context.shape[0], context.path):
        if isinstance(layer, tf_keras.Model):
            sources = [Value(name) for name in context.inputs]
            found = _walk(layer, builder, sources, f"{context.path}/")
        else:
            inside = (builder, layer, context.path, context.inputs, context.call)
            found = _converted(LayerContext(*inside, [None]))
    if context.masks[0] and layer._expects_mask_arg:
        raise context.refuse("its layer would use a mask", "unmasked inputs")
    return [Value(value.node, context.masks[0]) for value in found]
