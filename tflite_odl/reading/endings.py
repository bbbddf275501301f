"""What a model ends in: the layer that decides it, and the activation found there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

SQUASHING = ("softmax", "sigmoid")
LOG_SOFTMAX = "log_softmax"
# Other functions of TensorFlow and Keras that are one of these.
_ALIASES = {"softmax_v2": "softmax", "log_softmax_v2": LOG_SOFTMAX}
# Layers of functions that were called on tensors, and what these functions are.
FUNCTION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
_FUNCTIONS = {
    "math.sigmoid": "sigmoid",
    "nn.log_softmax": LOG_SOFTMAX,
    "nn.softmax": "softmax",
}
# Layers that hand each value on as it is, in inference.
_PASSIVE = ("Flatten", "Reshape", "Permute", "Identity", "Dropout", "Activation")
# Layers with weights whose outputs are still of the kind of their inputs.
_SCALES = ("BatchNormalization", "LayerScale", "Normalization", "PReLU")


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A model that is walked: the top one, or one nested in another.

    Attributes:
      model: the model.
      path: of its layers, "" or with a slash at its end.
      call: of the nested model in the outer one, None at the top.
      outer: the model around it, None at the top.
    """

    model: Any
    path: str = ""
    call: rebuild.Call | None = None
    outer: _Frame | None = None

    def maker(self, tensor: Any) -> rebuild.Call | None:
        """Returns the call in this model that makes a tensor, None of an input."""
        found = (c for c in rebuild.calls(self.model) if _place(tensor, c.outputs) >= 0)
        return next(found, None)

    def uses(self, layer: Any) -> int:
        """Returns how often the layer is called, it or a model that it is in."""
        used = sum(call.layer is layer for call in rebuild.calls(self.model))
        return used if self.outer is None else used * self.outer.uses(self.model)

    def readers(self, tensor: Any) -> int:
        """Returns how often a tensor is read in this model, its outputs included."""
        read = [tf.nest.flatten((c.args, c.kwargs)) for c in rebuild.calls(self.model)]
        read.append(rebuild.graph(self.model).outputs)
        return sum(leaf is tensor for leaves in read for leaf in leaves)


@dataclasses.dataclass(frozen=True)
class Ending:
    """What decides an output of a model.

    Attributes:
      layer: the last layer that changes values.
      path: of it.
      kind: the layer's class, or the function that is called.
      activation: its final activation, "linear" if it has none.
      behind: what hands its values on to the output, from the output on.
      shared: whether the layer is called elsewhere, or its values are read there.
      squashed: the layer behind which values are squashed though this one is linear, as
        "softmax of layer 'a'"; "" if there is none.
    """

    layer: Any
    path: str
    kind: str
    activation: str
    behind: tuple[Any, ...]
    shared: bool
    squashed: str


def find(model: tf_keras.Model, output: int = 0) -> Ending:
    """Returns what decides an output of a functional or sequential model.

    Raises:
      ModelError: nothing between the inputs and the output computes anything.
    """
    frame, tensor = _Frame(model), rebuild.graph(model).outputs[output]
    behind: list[Any] = []
    passed: list[tuple[Any, _Frame]] = []
    while (found := _made(tensor, frame, passed)) is not None:
        call, frame = found
        if not _passes(call.layer):
            return Ending(
                call.layer,
                frame.path + call.layer.name,
                kind(call.layer),
                _of_call(call),
                tuple(behind),
                frame.uses(call.layer) > 1
                or any(where.readers(one) > 1 for one, where in passed),
                _squashed(call, frame),
            )
        behind.append(call.layer)
        tensor = tf.nest.flatten(call.args)[0]
    raise ModelError(f"model {model.name!r} has no layer that computes anything")


def weighted(model: tf_keras.Model, output: int = 0) -> dict[str, Any]:
    """Returns {path: layer} of the layers with kernels that an output is made of, all
    that are not behind another one of them on their way to it; a gate and what it
    gates are two."""
    found: dict[str, Any] = {}
    seen: set[tuple[int, str]] = set()
    waiting = [(rebuild.graph(model).outputs[output], _Frame(model))]
    while waiting:
        made = _made(*waiting.pop())
        if made is None:
            continue
        call, frame = made
        place = (id(call.outputs[0]), frame.path)
        if place in seen:
            continue
        seen.add(place)
        if _mixes(call.layer):
            found[frame.path + call.layer.name] = call.layer
        else:
            waiting += _leaves(call, frame)
    return found


def activation(layer: Any) -> str:
    """Returns the name of a layer's activation, "linear" where it has none; that of a
    model is its ending's."""
    if type(layer).__name__ == "TimeDistributed":
        return activation(layer.layer)
    if rebuild.is_model(layer):
        return find(layer).activation
    if type(layer).__name__ == "Softmax":
        return _over(layer.axis, len(layer.output_shape))
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear"
    # Keras cannot serialize every activation; some have no name.
    name = getattr(function, "__name__", type(function).__name__)
    return _ALIASES.get(name, name)


def _of_call(call: rebuild.Call) -> str:
    """Returns the same of a function that is called on tensors, too."""
    name = _FUNCTIONS.get(kind(call.layer))
    if name is None:
        return activation(call.layer)
    if name == "sigmoid":
        return name
    axis = call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else -1)
    found = _over(-1 if axis is None else axis, len(call.outputs[0].shape))
    return found.replace("softmax", name, 1)


def _over(axis: Any, rank: int) -> str:
    return "softmax" if axis in (-1, rank - 1) else f"softmax over axis {axis}"


def kind(layer: Any) -> str:
    """Returns the class of a layer, of the one that a TimeDistributed applies, or the
    name of the function that is called on tensors."""
    if type(layer).__name__ == "TimeDistributed":
        return kind(layer.layer)
    if type(layer).__name__ in FUNCTION_LAYERS:
        return layer.get_config()["function"]
    return type(layer).__name__


def _passes(layer: Any) -> bool:
    return kind(layer) in _PASSIVE and activation(layer) == "linear"


def _made(
    tensor: Any, frame: _Frame, passed: list[tuple[Any, _Frame]] | None = None
) -> tuple[rebuild.Call, _Frame] | None:
    """Returns the call of a layer that makes a tensor and the model it is in, nested
    ones entered and left; None for an input of the whole model.

    Args:
      tensor: of the model.
      frame: the model.
      passed: takes the tensors that are this one, each with the model it is in.
    """
    while True:
        if passed is not None:
            passed.append((tensor, frame))
        call = frame.maker(tensor)
        if call is None:
            if frame.outer is None:
                return None
            place = _place(tensor, rebuild.graph(frame.model).inputs)
            tensor, frame = tf.nest.flatten(frame.call.args)[place], frame.outer
        elif rebuild.is_model(call.layer):
            place = _place(tensor, call.outputs)
            path = f"{frame.path}{call.layer.name}/"
            frame = _Frame(call.layer, path, call, frame)
            tensor = rebuild.graph(call.layer).outputs[place]
        else:
            return call, frame


def _squashed(call: rebuild.Call, frame: _Frame) -> str:
    """Returns the softmax or sigmoid whose values a layer merges, scales or pools."""
    if _of_call(call) != "linear" or _mixes(call.layer):
        return ""
    for maker, where in _sources(call, frame):
        name = _of_call(maker)
        if name in SQUASHING:
            return f"the {name} of layer {where.path + maker.layer.name!r}"
        if further := _squashed(maker, where):
            return further
    return ""


def _sources(call: rebuild.Call, frame: _Frame) -> Iterator[tuple]:
    for leaf, where in _leaves(call, frame):
        found = _made(leaf, where)
        if found is not None:
            yield found


def _leaves(call: rebuild.Call, frame: _Frame) -> list[tuple[Any, _Frame]]:
    """Returns the tensors that a call reads, each with the model it is in."""
    leaves = tf.nest.flatten((call.args, call.kwargs))
    return [(leaf, frame) for leaf in leaves if hasattr(leaf, "_keras_history")]


def _mixes(layer: Any) -> bool:
    """Whether a layer makes values of a new kind, by a kernel for instance."""
    return bool(layer.weights) and kind(layer) not in _SCALES


def _place(tensor: Any, among: Any) -> int:
    """Returns where a tensor is among others, by identity; -1 if it is not."""
    return next((n for n, other in enumerate(among) if other is tensor), -1)
