"""Models that end in logits, softmax or sigmoid, brought to one ending: logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import endings, rebuild
from tflite_odl.reading.copies import copy_input, copy_layer
from tflite_odl.reading.endings import Ending

_NONLINEAR = ("ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU")
# Functions on tensors that may end a model: they scale, merge, pool or move logits.
_OF_LOGITS = (
    "__operators__.add",
    "__operators__.getitem",
    "cast",
    "compat.v1.squeeze",
    "concat",
    "identity",
    "linalg.matmul",
    "math.add",
    "math.divide",
    "math.maximum",
    "math.minimum",
    "math.multiply",
    "math.negative",
    "math.reduce_max",
    "math.reduce_mean",
    "math.reduce_sum",
    "math.subtract",
    "math.truediv",
    "reshape",
    "squeeze",
    "stack",
    "transpose",
)


def as_logits(
    model: tf_keras.Model, ending: str = "softmax", said: bool = False
) -> tuple[tf_keras.Model, str]:
    """Returns (a model that ends in logits, how the given one ends).

    A final softmax, of a layer's activation or a layer of its own, is made linear in a
    copy with the same weights and layer names; the given model stays as it is. So is a
    final log_softmax, and a final sigmoid, if that is the ending asked for.

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
    changed, (found,) = all_as_logits(model, [ending], [said])
    return changed, found


def all_as_logits(
    model: tf_keras.Model, wanted: Sequence[str], said: Sequence[bool]
) -> tuple[tf_keras.Model, list[str]]:
    """Returns the same of a model of several outputs, for each what `as_logits` takes;
    an output whose wanted ending is "" stays as it is."""
    found, opened = [], []
    for output, (ending, logits) in enumerate(zip(wanted, said, strict=True)):
        if not ending:
            found.append("as it is")
            continue
        end = endings.find(model, output)
        _check_linear(end, ending, logits)
        if end.activation == "linear":
            found.append("logits")
            continue
        _check_removable(end, end.activation)
        opened.append((end.layer, ending))
        # What a softmax makes of logarithms of probabilities are these probabilities:
        # they are logits, as are those that they were made of.
        found.append(ending if end.activation == ending else "logits")
    if not opened:
        return model, found

    def make(old: Any, where: str) -> Callable[..., Any]:
        opens = [ending for layer, ending in opened if layer is old]
        return _linear(old, *opens) if opens else copy_layer(old)

    def fill(old: Any, new: Any, where: str) -> None:
        if old.weights:
            rebuild.copy_weights(old, new, where)

    return rebuild.rebuild(model, make, copy_input, fill), found


def _check_linear(found: Ending, ending: str, said: bool) -> None:
    """Raises ModelError unless the model ends in linear values or in the ending."""
    kind, known = found.kind, {"linear", ending}
    if ending == "softmax":
        known.add(endings.LOG_SOFTMAX)
    function = type(found.layer).__name__ in endings.FUNCTION_LAYERS
    unclear = function and found.activation == "linear" and kind not in _OF_LOGITS
    if kind in _NONLINEAR or unclear:
        raise _refuse(found, f"{kind} as the last layer", ending)
    if found.activation not in known:
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
        kind = endings.kind(layer)
        if kind == "Dropout" and layer.rate:
            raise _refuse(found, f"{ending} before dropout ({layer.name!r})", ending)
        moved = layer.output_shape[-1] != layer.input_shape[-1] or kind == "Permute"
        if ending != "sigmoid" and moved:
            raise _refuse(found, f"softmax before {kind} ({layer.name!r})", ending)


def _refuse(found: Ending, what: str, ending: str) -> ModelError:
    axis = " over the last axis" if ending == "softmax" else ""
    return ModelError(
        f"layer {found.path!r} ({type(found.layer).__name__}): {what} is not supported "
        f"with this loss; end the model in a linear layer (logits) or in {ending}{axis}"
    )


def _linear(layer: tf_keras.layers.Layer, ending: str) -> Callable[..., Any]:
    """Returns what takes the layer's place without its activation, under its name."""
    if type(layer).__name__ == "TimeDistributed":
        config = {**layer.get_config(), "layer": _linear(layer.layer, ending)}
        return tf_keras.layers.TimeDistributed(**config)
    if rebuild.is_model(layer):
        return as_logits(layer, ending)[0]
    identity = tf_keras.layers.Activation("linear", name=layer.name)
    if type(layer).__name__ in endings.FUNCTION_LAYERS:
        return lambda x, *args, **kwargs: identity(x)
    if isinstance(layer, tf_keras.layers.Softmax):
        return identity
    config = {**layer.get_config(), "activation": "linear"}
    return type(layer).from_config(config)
