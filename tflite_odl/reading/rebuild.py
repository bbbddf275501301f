"""Walking a Keras model's graph of calls, and building it again call by call.

One walk serves tf_keras and Keras 3 models: copies in another dtype, another ending,
a new head and the translation from Keras 3 are all a rebuild with other layers.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError

Make = Callable[[Any, str], Callable[..., Any]]
Fill = Callable[[Any, Any, str], None]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer: its arguments and its outputs, symbolic tensors."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Any, ...]


def calls(model: Any) -> list[Call]:
    """Returns the calls of a model in an order that can be run, inputs left out.

    Raises:
      ModelError: the model is subclassed, or was never built.
    """
    depths = graph(model)._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    return [_call(node) for node in nodes if not node.is_input]


def _call(node: Any) -> Call:
    outputs = tuple(tf.nest.flatten(node.outputs))
    if hasattr(node, "operation"):  # Keras 3
        args, kwargs = node.arguments.args, node.arguments.kwargs
        given = {k: v for k, v in kwargs.items() if v is not None}
        if given.get("training") in (True, _default_training(node.operation)):
            given.pop("training", None)
        return Call(node.operation, tuple(args), given, outputs)
    return Call(node.layer, tuple(node.call_args), dict(node.call_kwargs), outputs)


def _default_training(operation: Any) -> Any:
    """Returns what Keras 3 notes as `training` where a call does not say it.

    Its own `fit` and `predict` override what is noted, so True says nothing either.
    """
    parameters = inspect.signature(operation.call).parameters
    return parameters["training"].default if "training" in parameters else None


def graph(model: Any) -> Any:
    """Returns the functional graph of a model, that of Keras 3 models included."""
    found = getattr(model, "_functional", None) or model
    if not getattr(found, "_nodes_by_depth", None):
        raise ModelError(
            f"model {model.name!r} ({type(model).__name__}) is subclassed or was never "
            "built: use the functional or the sequential API and give the input's shape"
        )
    return found


def is_model(layer: Any) -> bool:
    """Whether a layer is itself a model, of tf_keras or of Keras 3."""
    return any(base.__name__ == "Model" for base in type(layer).__mro__)


def all_layers(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, layer) once per layer, nested ones as "outer/inner", in order."""
    seen: set[int] = set()
    for call in calls(model):
        if id(call.layer) in seen:
            continue
        seen.add(id(call.layer))
        if is_model(call.layer):
            yield from all_layers(call.layer, f"{path}{call.layer.name}/")
        else:
            yield path + call.layer.name, call.layer


def copy_weights(old: Any, new: tf_keras.layers.Layer, path: str) -> None:
    """Sets the new layer's weights to those of the old one."""
    new.set_weights(old.get_weights())
    if isinstance(new, tf_keras.layers.Normalization):
        new.finalize_state()  # it computes with a copy of its weights


def rebuild(
    model: Any,
    make: Make,
    make_input: Callable[[Any], Any],
    fill: Fill = copy_weights,
    path: str = "",
) -> tf_keras.Model:
    """Returns a functional tf_keras model with the same calls, made of other layers.

    Args:
      model: functional or sequential, of tf_keras or Keras 3.
      make: (layer, path) -> the tf_keras layer that takes its place; called once per
        layer, so that shared layers stay shared.
      make_input: symbolic input of the model -> the input that takes its place.
      fill: (layer, its replacement, path): gives the replacement its weights.
      path: prefix of the layers' paths.

    Raises:
      ModelError: the model is subclassed, or was never built.
    """
    source = graph(model)
    known = {id(tensor): make_input(tensor) for tensor in source.inputs}
    made: dict[int, tuple[str, Any, Any]] = {}
    for call in calls(model):
        layer = call.layer
        if id(layer) not in made:
            made[id(layer)] = _replace(layer, make, make_input, fill, path)
        args, kwargs = _mapped((call.args, call.kwargs), known)
        outputs = _apply(made[id(layer)], args, kwargs)
        known.update((id(a), b) for a, b in zip(call.outputs, outputs, strict=True))
    for where, old, new in made.values():
        if not is_model(old):
            fill(old, new, where)
    inputs, outputs = _mapped(_ends(source), known)
    # Of a Keras 3 model the layers alone say what is frozen; the twin's own flag would
    # freeze them all.
    trainable = model.trainable if isinstance(model, tf_keras.Model) else True
    return tf_keras.Model(inputs, outputs, name=model.name, trainable=trainable)


def _replace(layer, make, make_input, fill, path) -> tuple[str, Any, Any]:
    where = path + layer.name
    if is_model(layer):
        return where, layer, rebuild(layer, make, make_input, fill, f"{where}/")
    return where, layer, make(layer, where)


def _apply(made: tuple[str, Any, Any], args: Any, kwargs: Any) -> list[Any]:
    """Returns the outputs of the new layer; an error it raises names the layer."""
    path, old, new = made
    args, kwargs = _in_one_dtype((args, kwargs))
    try:
        return tf.nest.flatten(new(*args, **kwargs))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"layer {path!r} ({type(old).__name__}) cannot be rebuilt: {error}"
        ) from error


def _in_one_dtype(arguments: Any) -> Any:
    """Returns the arguments, float constants among them in the symbolic ones' dtype."""
    leaves = tf.nest.flatten(arguments)
    floats = {t.dtype for t in leaves if _is_symbolic(t) and t.dtype.is_floating}
    if len(floats) != 1:
        return arguments
    (dtype,) = floats

    def cast(leaf: Any) -> Any:
        fixed = isinstance(leaf, tf.Tensor) and not _is_symbolic(leaf)
        return tf.cast(leaf, dtype) if fixed and leaf.dtype.is_floating else leaf

    return tf.nest.map_structure(cast, arguments)


def _is_symbolic(leaf: Any) -> bool:
    return hasattr(leaf, "_keras_history")


def _mapped(structure: Any, known: dict[int, Any]) -> Any:
    return tf.nest.map_structure(lambda leaf: known.get(id(leaf), leaf), structure)


def _ends(source: Any) -> tuple[Any, Any]:
    """Returns (inputs, outputs): the inputs one or a list, the outputs single or nested
    as the model was made."""
    if hasattr(source, "_inputs_struct"):  # Keras 3
        inputs, outputs = source._inputs_struct, source._outputs_struct
    elif isinstance(source, tf_keras.Sequential):
        return source.inputs, source.outputs
    else:
        inputs, outputs = source._nested_inputs, source._nested_outputs
    flat = isinstance(inputs, list) or not tf.nest.is_nested(inputs)
    return inputs if flat else source.inputs, outputs


def given(model: Any, values: list[Any]) -> Any:
    """Returns values for a model's inputs, in their order, as its call takes them."""
    source = graph(model)
    found = getattr(source, "_inputs_struct", None)
    if isinstance(found, dict):  # the others take a list
        known = {id(t): v for t, v in zip(source.inputs, values, strict=True)}
        return {key: known[id(tensor)] for key, tensor in found.items()}
    return values if len(values) > 1 else values[0]
