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
# Other functions of TensorFlow and Keras that are one of these.
_ALIASES = {"softmax_v2": "softmax"}
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


@dataclasses.dataclass(frozen=True)
class Ending:
    """What decides an output of a model.

    Attributes:
      layer: the last layer that changes values.
      path: of it.
      activation: its final activation, "linear" if it has none.
      behind: what hands its values on to the output, from the output on.
      shared: whether the layer is called elsewhere, too.
      squashed: the layer behind which values are squashed though this one is linear, as
        "softmax of layer 'a'"; "" if there is none.
    """

    layer: Any
    path: str
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
    while (found := _made(tensor, frame)) is not None:
        call, frame = found
        if not _passes(call.layer):
            return Ending(
                call.layer,
                frame.path + call.layer.name,
                activation(call.layer),
                tuple(behind),
                frame.uses(call.layer) > 1,
                _squashed(call, frame),
            )
        behind.append(call.layer)
        tensor = tf.nest.flatten(call.args)[0]
    raise ModelError(f"model {model.name!r} has no layer that computes anything")


def activation(layer: Any) -> str:
    """Returns the name of a layer's activation, "linear" where it has none."""
    kind = type(layer).__name__
    if kind == "Softmax":
        last = layer.axis in (-1, len(layer.output_shape) - 1)
        return "softmax" if last else f"softmax over axis {layer.axis}"
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear"
    # Keras cannot serialize every activation; some have no name.
    name = getattr(function, "__name__", type(function).__name__)
    return _ALIASES.get(name, name)


def _passes(layer: Any) -> bool:
    return type(layer).__name__ in _PASSIVE and activation(layer) == "linear"


def _made(tensor: Any, frame: _Frame) -> tuple[rebuild.Call, _Frame] | None:
    """Returns the call of a layer that makes a tensor and the model it is in, nested
    ones entered and left; None for an input of the whole model."""
    while True:
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
    if activation(call.layer) != "linear" or _mixes(call.layer):
        return ""
    for maker, where in _sources(call, frame):
        name = activation(maker.layer)
        if name in SQUASHING:
            return f"the {name} of layer {where.path + maker.layer.name!r}"
        if further := _squashed(maker, where):
            return further
    return ""


def _sources(call: rebuild.Call, frame: _Frame) -> Iterator[tuple]:
    for leaf in tf.nest.flatten((call.args, call.kwargs)):
        if hasattr(leaf, "_keras_history"):
            found = _made(leaf, frame)
            if found is not None:
                yield found


def _mixes(layer: Any) -> bool:
    """Whether a layer makes values of a new kind, by a kernel for instance."""
    return bool(layer.weights) and type(layer).__name__ not in _SCALES


def _place(tensor: Any, among: Any) -> int:
    """Returns where a tensor is among others, by identity; -1 if it is not."""
    return next((n for n, other in enumerate(among) if other is tensor), -1)
