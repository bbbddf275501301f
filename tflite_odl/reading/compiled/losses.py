"""Keras' losses, as fields of a `methods.config.SupervisedConfig`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflite_odl.errors import ModelError
from tflite_odl.reading import understood
from tflite_odl.reading.outputs import clean

_INSTEAD = "say which with loss (--loss)"
_AVERAGES = ("auto", "sum_over_batch_size", None)
# Of each class: the loss here, the keys that are read, and the name of its function.
_CLASSES = {
    "SparseCategoricalCrossentropy": (
        "sparse_cross_entropy",
        "from_logits ignore_class",
        "sparse_categorical_crossentropy",
    ),
    "CategoricalCrossentropy": (
        "categorical_cross_entropy",
        "from_logits label_smoothing",
        "categorical_crossentropy",
    ),
    "BinaryCrossentropy": (
        "binary_cross_entropy",
        "from_logits label_smoothing",
        "binary_crossentropy",
    ),
    "MeanSquaredError": ("mean_squared_error", "", "mean_squared_error"),
    "MeanAbsoluteError": ("mean_absolute_error", "", "mean_absolute_error"),
    "Huber": ("huber", "delta", "huber"),
    "CosineSimilarity": ("cosine_similarity", "", "cosine_similarity"),
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
      weight: of the output's loss.
    """

    options: dict[str, Any]
    from_logits: bool | None
    named: str
    weight: float = 1.0


def read(
    api: Any,
    identifier: Any,
    weights: Any,
    where: str,
    every: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, CompiledLoss]:
    """Returns {output name: its loss} of what is in a compile configuration.

    Args:
      api: `keras` or `tf_keras`.
      identifier: a name, a serialized loss or function, or these in a list in the order
        of the outputs, or in a dict by their names.
      weights: of the losses, as they were given to `compile`.
      where: names the model in errors.
      every: names of all outputs of the model.
      outputs: of those that are asked for.

    Raises:
      ModelError: one has no builtin form, or a key of it is not understood.
    """
    named = f"{where} was compiled with loss"
    of_outputs = _by_output(identifier, every, named)
    factors = _by_output(weights, every, f"{named}_weights")
    found = {}
    for name in outputs:
        if of_outputs[name] is None:
            raise ModelError(
                f"{named} for other outputs, none for {name!r}: choose an output "
                f"(--output), or {_INSTEAD}"
            )
        loss = _read(api, of_outputs[name], where)
        weight = 1.0 if factors[name] is None else float(np.asarray(factors[name]))
        found[name] = dataclasses.replace(loss, weight=weight)
    return found


def _by_output(value: Any, outputs: Sequence[str], named: str) -> dict[str, Any]:
    """Returns {output name: its entry}, None where there is none."""
    if isinstance(value, Mapping) and "class_name" not in value:
        cleaned = {clean(name): entry for name, entry in value.items()}
        return {name: cleaned.get(name) for name in outputs}
    if not isinstance(value, (list, tuple)):
        return dict.fromkeys(outputs, value)
    if len(value) != len(outputs):
        raise ModelError(f"{named} {value} for the outputs {list(outputs)}; {_INSTEAD}")
    return dict(zip(outputs, value, strict=True))


def _read(api: Any, identifier: Any, where: str) -> CompiledLoss:
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
    if config.get("delta", 1.0) != 1.0:
        options["huber_delta"] = float(config["delta"])
    if kind == "Huber" and config and "delta" not in config:
        named += " (Keras 3 saves no delta: it is 1 unless huber_delta says another)"
    logits = bool(config.get("from_logits")) if "from_logits" in keys else None
    return CompiledLoss(options, logits, named + _shown(options, logits))


def _shown(options: Mapping[str, Any], logits: bool | None) -> str:
    said = [f"from_logits={logits}"] if logits is not None else []
    said += [f"{name}={value}" for name, value in options.items() if name != "loss"]
    return f"({', '.join(said)})" if said else ""


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
