"""Models that end in logits or in softmax, brought to one ending: logits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models import rebuild
from tflite_odl.models.reference import copy_input, copy_layer

# Layers that hand each value on as it is: the ending is that of what feeds them.
_PASSIVE = ("Flatten", "Reshape", "Dropout", "Permute")
_NONLINEAR = ("ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU", "TFOpLambda")
_SUPPORTED = "end the model in a linear layer (logits) or in softmax over the last axis"


def as_logits(model: tf_keras.Model) -> tuple[tf_keras.Model, str]:
    """Returns (a model that ends in logits, how the given one ends).

    A final softmax, of a layer's activation or a layer of its own, is made linear in a
    copy with the same weights and layer names; the given model stays as it is.

    Returns:
      model: the given one if it ends in logits, else the copy.
      ending: "logits" or "softmax".

    Raises:
      ModelError: several outputs, or another final activation.
    """
    layer, path = _last(model, "")
    if not _is_softmax(layer, path):
        return model, "logits"

    def make(old: Any, where: str) -> tf_keras.layers.Layer:
        return _linear(old) if old is layer else copy_layer(old)

    return rebuild.rebuild(model, make, copy_input), "softmax"


def _last(model: tf_keras.Model, path: str) -> tuple[Any, str]:
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
            _check_mean(call, made_by, path)
            return _found(call.layer, history, path)
        tensor = call.args[0]
    raise ModelError(
        f"model {path or model.name!r} has no layer that computes anything"
    )


def _check_mean(call: rebuild.Call, made_by: dict[int, Any], path: str) -> None:
    """Raises ModelError for a mean of probabilities, which looks linear."""
    kind = type(call.layer).__name__
    for tensor in tf.nest.flatten(call.args) if "Average" in kind else ():
        source = made_by[id(tensor)].layer if id(tensor) in made_by else None
        activation = _name(getattr(source, "activation", None))
        if type(source).__name__ == "Softmax" or activation == "softmax":
            raise _refuse(path + call.layer.name, kind, "the mean of softmax outputs")


def _found(layer: Any, history: list[rebuild.Call], path: str) -> tuple[Any, str]:
    if rebuild.is_model(layer):
        found, where = _last(layer, f"{path}{layer.name}/")
    else:
        found, where = layer, path + layer.name
    if _is_softmax(found, where) and sum(call.layer is layer for call in history) > 1:
        raise ModelError(
            f"layer {where!r} ends the model in softmax and is used elsewhere too, "
            "where the softmax must stay: give the output a layer of its own"
        )
    return found, where


def _is_softmax(layer: Any, path: str) -> bool:
    """Whether the layer ends in softmax; raises ModelError if it ends in neither."""
    kind = type(layer).__name__
    if kind == "Softmax":
        if layer.axis not in (-1, len(layer.output_shape) - 1):
            raise _refuse(path, kind, f"softmax over axis {layer.axis}")
        return True
    if kind in _NONLINEAR:
        raise _refuse(path, kind, f"{kind} as the last layer")
    activation = getattr(layer, "activation", None)
    name = "linear" if activation is None else _name(activation)
    if name not in ("linear", "softmax"):
        raise _refuse(path, kind, f"the final activation {name!r}")
    return name == "softmax"


def _name(activation: Any) -> str:
    """Returns an activation's name, also of one that Keras cannot serialize."""
    return getattr(activation, "__name__", type(activation).__name__)


def _refuse(path: str, kind: str, what: str) -> ModelError:
    return ModelError(f"layer {path!r} ({kind}): {what} is not supported; {_SUPPORTED}")


def _linear(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the layer without its softmax, under the same name."""
    if isinstance(layer, tf_keras.layers.Softmax):
        return tf_keras.layers.Activation("linear", name=layer.name)
    config = {**layer.get_config(), "activation": "linear"}
    return type(layer).from_config(config)
