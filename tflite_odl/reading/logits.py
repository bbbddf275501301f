"""Models that end in logits, softmax or sigmoid, brought to one ending: logits."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import endings, rebuild
from tflite_odl.reading.copies import copy_input, copy_layer
from tflite_odl.reading.endings import Ending

_NONLINEAR = ("ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU", "TFOpLambda")


def as_logits(
    model: tf_keras.Model, ending: str = "softmax", said: bool = False
) -> tuple[tf_keras.Model, str]:
    """Returns (a model that ends in logits, how the given one ends).

    A final softmax, of a layer's activation or a layer of its own, is made linear in a
    copy with the same weights and layer names; the given model stays as it is. So is a
    final sigmoid, if that is the ending asked for.

    Args:
      model: with one output.
      ending: "softmax" or "sigmoid", what the model may end in instead of logits.
      said: whether a model that merges or scales what a softmax or a sigmoid puts out
        was said to end in logits.

    Returns:
      model: the given one if it ends in logits, else the copy.
      ending: "logits", or the given one.

    Raises:
      ModelError: several outputs, another final activation, or one that cannot be
        taken off.
    """
    outputs = len(rebuild.graph(model).outputs)
    if outputs != 1:
        raise ModelError(f"model {model.name!r} has {outputs} outputs, needs one")
    found = endings.find(model)
    _check_linear(found, ending, said)
    if found.activation != ending:
        return model, "logits"
    _check_removable(found, ending)

    def make(old: Any, where: str) -> tf_keras.layers.Layer:
        return _linear(old) if old is found.layer else copy_layer(old)

    return rebuild.rebuild(model, make, copy_input), ending


def _check_linear(found: Ending, ending: str, said: bool) -> None:
    """Raises ModelError unless the model ends in linear values or in the ending."""
    kind = type(found.layer).__name__
    if kind in _NONLINEAR:
        raise _refuse(found, f"{kind} as the last layer", ending)
    if found.activation.startswith("softmax over"):
        raise _refuse(found, found.activation, ending)
    if found.activation not in ("linear", ending):
        raise _refuse(found, f"the final activation {found.activation!r}", ending)
    if found.squashed and not said:
        raise ModelError(
            f"layer {found.path!r} ({kind}) ends the model behind {found.squashed}: "
            "these values are no logits, and it cannot be taken off; end the model in "
            f"a linear layer or in {ending}, or compile it with from_logits=True if "
            "they are logits all the same"
        )


def _check_removable(found: Ending, ending: str) -> None:
    """Raises ModelError if the activation is needed elsewhere, or if what is behind it
    would do something else to logits."""
    if found.shared:
        raise ModelError(
            f"layer {found.path!r} ends the model in {ending} and is used elsewhere "
            f"too, where the {ending} must stay: give the output a layer of its own"
        )
    for layer in (found.layer, *found.behind):
        if getattr(layer, "activity_regularizer", None) is not None:
            raise ModelError(
                f"layer {layer.name!r} ({type(layer).__name__}) has an "
                f"activity_regularizer on the model's {ending}, which the loss takes "
                "in: end the model in a layer without one"
            )
    for layer in found.behind:
        kind = type(layer).__name__
        if kind == "Dropout" and layer.rate:
            raise _refuse(found, f"{ending} before dropout ({layer.name!r})", ending)
        moved = layer.output_shape[-1] != layer.input_shape[-1] or kind == "Permute"
        if ending == "softmax" and moved:
            raise _refuse(found, f"softmax before {kind} ({layer.name!r})", ending)


def _refuse(found: Ending, what: str, ending: str) -> ModelError:
    axis = " over the last axis" if ending == "softmax" else ""
    return ModelError(
        f"layer {found.path!r} ({type(found.layer).__name__}): {what} is not supported "
        f"with this loss; end the model in a linear layer (logits) or in {ending}{axis}"
    )


def _linear(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the layer without its activation, under the same name."""
    if isinstance(layer, tf_keras.layers.Softmax):
        return tf_keras.layers.Activation("linear", name=layer.name)
    config = {**layer.get_config(), "activation": "linear"}
    return type(layer).from_config(config)
