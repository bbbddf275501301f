"""Keras' losses, as fields of a `methods.config.SupervisedConfig`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl.errors import ModelError
from tflite_odl.reading import understood

_INSTEAD = "say which with loss (--loss)"
_AVERAGES = ("auto", "sum_over_batch_size", None)
# Of each class: the loss here, the keys that are read, and the name of its function.
_CLASSES = {
    "SparseCategoricalCrossentropy": (
        "sparse_cross_entropy",
        "from_logits ignore_class",
        "sparse_categorical_crossentropy",
    ),
    "BinaryCrossentropy": (
        "binary_cross_entropy",
        "from_logits label_smoothing",
        "binary_crossentropy",
    ),
    "MeanSquaredError": ("mean_squared_error", "", "mean_squared_error"),
}
_OF_FUNCTIONS = {function: kind for kind, (_, _, function) in _CLASSES.items()}
# `fn` is the function behind the class.
_EVERY = {"name", "reduction", "fn", "dtype"}


@dataclasses.dataclass(frozen=True)
class CompiledLoss:
    """A loss as a model was compiled with it.

    Attributes:
      options: the fields of a `SupervisedConfig` that it says.
      from_logits: whether it takes logits; None: it is no cross-entropy.
      named: how Keras has it, for messages.
    """

    options: dict[str, Any]
    from_logits: bool | None
    named: str


def read(api: Any, identifier: Any, weights: Any, where: str) -> CompiledLoss:
    """Returns a loss by its identifier in a compile configuration.

    Args:
      api: `keras` or `tf_keras`.
      identifier: a name, a serialized loss or function, or one of these in a list.
      weights: of several losses, as they were given to `compile`.
      where: names the model in errors.

    Raises:
      ModelError: it has no builtin form, or a key of it is not understood.
    """
    identifier = _only(identifier, f"{where} was compiled with the losses")
    _check_weight(_only(weights, f"{where} was compiled with loss_weights"), where)
    kind, config, default = _described(api, identifier, where)
    named = f"{where} was compiled with {kind}"
    if kind not in _CLASSES:
        raise ModelError(
            f"{named}, which has no builtin form here, as {', '.join(_CLASSES)} have; "
            f"{_INSTEAD}"
        )
    name, keys, _ = _CLASSES[kind]
    understood.check(named, config, {*_EVERY, *keys.split()}, default, _INSTEAD)
    if config.get("reduction") not in _AVERAGES:
        raise ModelError(
            f"{named}: reduction={config['reduction']!r} is not understood, the loss "
            f"here is the mean over the rows; {_INSTEAD}"
        )
    if config.get("ignore_class") not in (None, -1):
        raise ModelError(
            f"{named}: ignore_class={config['ignore_class']} is not understood, rows "
            f"labelled -1 are left out here; {_INSTEAD}"
        )
    options: dict[str, Any] = {"loss": name}
    if config.get("label_smoothing"):
        options["label_smoothing"] = float(config["label_smoothing"])
    logits = bool(config.get("from_logits")) if "from_logits" in keys else None
    return CompiledLoss(options, logits, named + _shown(options, logits))


def _shown(options: Mapping[str, Any], logits: bool | None) -> str:
    said = [f"from_logits={logits}"] if logits is not None else []
    said += [f"{name}={value}" for name, value in options.items() if name != "loss"]
    return f"({', '.join(said)})" if said else ""


def _only(value: Any, what: str) -> Any:
    """Returns what a list or a dict by output holds, of one output."""
    if isinstance(value, Mapping) and "class_name" not in value:
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != 1:
        raise ModelError(f"{what} {value}, needs one; {_INSTEAD}")
    return value[0]


def _check_weight(weight: Any, where: str) -> None:
    if weight is not None and not np.all(np.asarray(weight) == 1):
        raise ModelError(
            f"{where} was compiled with loss_weights={weight!r}, which is not "
            f"understood: scale the learning rate instead, and {_INSTEAD}"
        )


def _described(
    api: Any, identifier: Any, where: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Returns (class, configuration, defaults); a function's are its class' own."""
    try:
        found = api.losses.get(copy.deepcopy(identifier))
    except Exception as error:  # Keras raises what it meets, without a common base
        raise _foreign(identifier, where) from error
    if isinstance(found, api.losses.Loss):
        own = type(found).__module__.split(".")[0] in ("keras", "tf_keras")
        if not own:
            raise _foreign(identifier, where)
        return (
            type(found).__name__,
            found.get_config(),
            understood.defaults(type(found)),
        )
    name = getattr(found, "__name__", str(found))
    if getattr(api.losses, name, None) is not found:
        raise _foreign(identifier, where)
    return _OF_FUNCTIONS.get(name, name), {}, {}


def _foreign(identifier: Any, where: str) -> ModelError:
    name = identifier
    if isinstance(identifier, Mapping):
        custom = identifier.get("class_name") == "function"
        name = identifier["config"] if custom else identifier.get("class_name")
    name = getattr(name, "__name__", name)
    return ModelError(
        f"{where} was compiled with loss {name!r}, which is not one of Keras': "
        f"{_INSTEAD}"
    )
