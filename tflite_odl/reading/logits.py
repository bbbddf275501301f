"""Models that end in logits, softmax or sigmoid, brought to one ending: logits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import copy_input, copy_layer

# Layers that hand each value on as it is: the ending is that of what feeds them.
_PASSIVE = ("Flatten", "Reshape", "Dropout", "Permute")
_NONLINEAR = ("ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU", "TFOpLambda")
_SQUASHING = ("softmax", "sigmoid")


def as_logits(
    model: tf_keras.Model, ending: str = "softmax"
) -> tuple[tf_keras.Model, str]:
    """Returns (a model that ends in logits, how the given one ends).

    A final softmax, of a layer's activation or a layer of its own, is made linear in a
    copy with the same weights and layer names; the given model stays as it is. So is a
    final sigmoid, if that is the ending asked for.

    Args:
      model: with one output.
      ending: "softmax" or "sigmoid", what the model may end in instead of logits.

    Returns:
      model: the given one if it ends in logits, else the copy.
      ending: "logits", or the given one.

    Raises:
      ModelError: several outputs, or another final activation.
    """
    layer, path = _last(model, "", ending)
    if not _squashes(layer, path, ending):
        return model, "logits"

    if getattr(layer, "activity_regularizer", None) is not None:
        raise ModelError(
            f"layer {path!r} ({type(layer).__name__}) has an activity_regularizer on "
            f"its {ending}, which the loss takes in: end the model in a layer "
            "without one"
        )

    def make(old: Any, where: str) -> tf_keras.layers.Layer:
        return _linear(old) if old is layer else copy_layer(old)

    return rebuild.rebuild(model, make, copy_input), ending


def _last(model: tf_keras.Model, path: str, ending: str) -> tuple[Any, str]:
    """Returns the layer that decides the ending, and its path."""
    outputs = rebuild.graph(model).outputs
    if len(outputs) != 1:
        raise ModelError(f"model {model.name!r} has {len(outputs)} outputs, needs one")
    history = rebuild.calls(model)
    made_by = {id(tensor): call for call in history for tensor in call.outputs}
    tensor = outputs[0]
    while id(tensor) in made_by:
        call = made_by[id(tensor)]
        if type(call.layer).__name__ not in _PASSIVE:
            _check_mean(call, made_by, path, ending)
            return _found(call.layer, history, path, ending)
        tensor = call.args[0]
    raise ModelError(
        f"model {path or model.name!r} has no layer that computes anything"
    )


def _check_mean(
    call: rebuild.Call, made_by: dict[int, Any], path: str, ending: str
) -> None:
    """Raises ModelError for a mean of probabilities, which looks linear."""
    kind = type(call.layer).__name__
    for tensor in tf.nest.flatten(call.args) if "Average" in kind else ():
        source = made_by[id(tensor)].layer if id(tensor) in made_by else None
        activation = _name(getattr(source, "activation", None))
        if type(source).__name__ == "Softmax" or activation in _SQUASHING:
            what = "the mean of softmax or sigmoid outputs"
            raise _refuse(path + call.layer.name, kind, what, ending)


def _found(
    layer: Any, history: list[rebuild.Call], path: str, ending: str
) -> tuple[Any, str]:
    if rebuild.is_model(layer):
        found, where = _last(layer, f"{path}{layer.name}/", ending)
    else:
        found, where = layer, path + layer.name
    used = sum(call.layer is layer for call in history)
    if used > 1 and _squashes(found, where, ending):
        raise ModelError(
            f"layer {where!r} ends the model in {ending} and is used elsewhere too, "
            f"where the {ending} must stay: give the output a layer of its own"
        )
    return found, where


def _squashes(layer: Any, path: str, ending: str) -> bool:
    """Whether the layer has the ending; raises ModelError if it is not linear else."""
    kind = type(layer).__name__
    if kind in _NONLINEAR:
        raise _refuse(path, kind, f"{kind} as the last layer", ending)
    if kind == "Softmax":
        if layer.axis not in (-1, len(layer.output_shape) - 1):
            raise _refuse(path, kind, f"softmax over axis {layer.axis}", ending)
        name = "softmax"
    else:
        activation = getattr(layer, "activation", None)
        name = "linear" if activation is None else _name(activation)
    if name not in ("linear", ending):
        raise _refuse(path, kind, f"the final activation {name!r}", ending)
    return name == ending


def _name(activation: Any) -> str:
    """Returns an activation's name, also of one that Keras cannot serialize."""
    return getattr(activation, "__name__", type(activation).__name__)


def _refuse(path: str, kind: str, what: str, ending: str) -> ModelError:
    axis = " over the last axis" if ending == "softmax" else ""
    return ModelError(
        f"layer {path!r} ({kind}): {what} is not supported with this loss; end the "
        f"model in a linear layer (logits) or in {ending}{axis}"
    )


def _linear(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the layer without its activation, under the same name."""
    if isinstance(layer, tf_keras.layers.Softmax):
        return tf_keras.layers.Activation("linear", name=layer.name)
    config = {**layer.get_config(), "activation": "linear"}
    return type(layer).from_config(config)
