"""Keras' optimizers, as fields of a `methods.config.LearnerConfig`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tflite_odl.errors import ModelError
from tflite_odl.reading import understood
from tflite_odl.reading.compiled import schedules

# What is done to a gradient, by Keras' name and by ours.
CLIPS = {
    "clipnorm": "clip_weight_norm",
    "global_clipnorm": "clip_norm",
    "clipvalue": "clip_value",
}
# Of every optimizer: read here, or without a meaning of its own.
_EVERY = {
    "learning_rate",
    "weight_decay",
    "gradient_accumulation_steps",
    *CLIPS,
    "name",
    "decay",  # of legacy optimizers; refused below
    "jit_compile",
    "is_legacy_optimizer",
    "ema_momentum",  # of use_ema, which is refused
    "ema_overwrite_frequency",
    "loss_scale_factor",  # the gradients are divided by it again
}
# Options that get_config leaves out.
_FORGOTTEN = ("adaptive_epsilon",)
_MOMENTS = {"first_moment": "_momentums", "second_moment": "_velocities"}
# Of each optimizer's slots, the attribute in which either Keras has them.
KERAS_SLOTS: Mapping[str, Mapping[str, str]] = {
    "sgd": {},
    "momentum": {"momentum": "momentums"},
    "nesterov": {"momentum": "momentums"},
    "adam": _MOMENTS,
    "adamw": _MOMENTS,
    "amsgrad": {**_MOMENTS, "largest_second_moment": "_velocity_hats"},
    "rmsprop": {"mean_square": "_velocities"},
    "rmsprop_momentum": {"mean_square": "_velocities", "momentum": "_momentums"},
    "rmsprop_centered": {"mean_square": "_velocities", "mean": "_average_gradients"},
    "adagrad": {"square_sum": "_accumulators"},
}
_SCALING = ("LossScaleOptimizer", "LossScaleOptimizerV3")
_INSTEAD = "say which with optimizer (--optimizer)"


def class_name(identifier: Any) -> str:
    """Returns the class of an optimizer by its identifier in a compile configuration,
    the inner one's where a loss scale is around it."""
    if isinstance(identifier, Mapping):
        name = str(identifier.get("class_name")).removeprefix("Custom>")
        inner = identifier.get("config", {}).get("inner_optimizer")
        return class_name(inner) if name in _SCALING and inner else name
    return identifier if isinstance(identifier, str) else type(identifier).__name__


def make(api: Any, identifier: Any, where: str) -> Any:
    """Returns the optimizer of a Keras, a loss scale around it included.

    Raises:
      ModelError: that Keras has none by this name, or not with such keys.
    """
    try:
        return api.optimizers.get(copy.deepcopy(identifier))
    except Exception as error:  # Keras raises what it meets, without a common base
        raise ModelError(
            f"{where} was compiled with optimizer {class_name(identifier)}, which is "
            f"not one of Keras': {_INSTEAD} ({error})"
        ) from error


def inner(optimizer: Any) -> Any:
    """Returns what a loss scale is around, or the optimizer itself.

    Such a scale keeps 16-bit gradients off zero; it divides them by itself again.
    """
    return getattr(optimizer, "inner_optimizer", optimizer)


def options(api: Any, identifier: Any, where: str) -> dict[str, Any]:
    """Returns the fields of a `LearnerConfig` that an optimizer says.

    Args:
      api: `keras` or `tf_keras`.
      identifier: a name, a serialized optimizer, or an optimizer.
      where: names the model in errors.

    Raises:
      ModelError: it has no builtin form, or a key of it is not understood.
    """
    if isinstance(identifier, (str, Mapping)):
        optimizer = inner(make(api, identifier, where))
    else:
        optimizer = inner(identifier)
    # tf_keras gives back the names of some of its classes.
    known = not isinstance(optimizer, str)
    kind = type(optimizer).__name__ if known else optimizer
    named = f"{where} was compiled with optimizer {kind}"
    legacy = ".legacy." in type(optimizer).__module__
    if kind not in _READERS or (legacy and kind in ("RMSprop", "Adagrad")):
        kinds = ", ".join(_READERS)
        form = f"legacy {kind}" if legacy else kind
        raise ModelError(
            f"{named}: {form} has no builtin form here, as {kinds} have; {_INSTEAD}"
        )
    for key in _FORGOTTEN:
        if getattr(optimizer, key, False):
            raise ModelError(f"{named}: {key}=True is not understood; {_INSTEAD}")
    config = optimizer.get_config()
    own, read = _READERS[kind]
    default = understood.defaults(type(optimizer))
    understood.check(named, config, {*_EVERY, *own.split()}, default, _INSTEAD)
    if config.get("decay"):
        raise ModelError(
            f"{named}: decay={config['decay']:g} is not understood; {_INSTEAD} and "
            "say a schedule"
        )
    return {**_common(config, named), **_kept(*read(config, named))}


def _common(config: Mapping[str, Any], named: str) -> dict[str, Any]:
    """Returns what every optimizer says: learning rate, schedule, limits, groups."""
    rate = config["learning_rate"]
    found: dict[str, Any] = {}
    if isinstance(rate, Mapping):
        found["learning_rate"], found["schedule"] = schedules.read(rate, named)
    else:
        found["learning_rate"] = float(rate)
    for theirs, ours in CLIPS.items():
        if config.get(theirs):
            found[ours] = float(config[theirs])
    every = config.get("gradient_accumulation_steps") or 1
    if every > 1 and "schedule" in found:
        raise ModelError(
            f"{named}: gradient_accumulation_steps={every} with a schedule, which "
            "counts batches there and updates here: say accumulate (--accumulate) and "
            f"the schedule yourself; {_INSTEAD}"
        )
    return found | ({"accumulate": int(every)} if every > 1 else {})


def _kept(name: str, numbers: Mapping[str, float]) -> dict[str, Any]:
    return {"optimizer": name, "hyperparameters": dict(numbers)}


def _numbers(config: Mapping[str, Any], *names: str) -> dict[str, float]:
    """Returns hyper-parameters, and the weight decay if there is one."""
    found = {name: float(config[name]) for name in names}
    decay = config.get("weight_decay")
    return found | ({"weight_decay": float(decay)} if decay else {})


def _sgd(config: Mapping[str, Any], named: str) -> tuple[str, dict[str, float]]:
    if not config["momentum"]:
        return "sgd", _numbers(config)
    name = "nesterov" if config["nesterov"] else "momentum"
    return name, _numbers(config, "momentum")


def _adam(config: Mapping[str, Any], named: str) -> tuple[str, dict[str, float]]:
    name = "amsgrad" if config["amsgrad"] else "adam"
    return name, _numbers(config, "beta_1", "beta_2", "epsilon")


def _adamw(config: Mapping[str, Any], named: str) -> tuple[str, dict[str, float]]:
    name, numbers = _adam(config, named)
    return (
        ("adamw", {"weight_decay": 0.0} | numbers)
        if name == "adam"
        else (
            name,
            numbers,
        )
    )


def _rmsprop(config: Mapping[str, Any], named: str) -> tuple[str, dict[str, float]]:
    if config["centered"] and config["momentum"]:
        raise ModelError(
            f"{named}: centered with momentum={config['momentum']:g} has no builtin "
            f"form here; {_INSTEAD}"
        )
    if config["centered"]:
        return "rmsprop_centered", _numbers(config, "rho", "epsilon")
    if config["momentum"]:
        return "rmsprop_momentum", _numbers(config, "rho", "epsilon", "momentum")
    return "rmsprop", _numbers(config, "rho", "epsilon")


def _adagrad(config: Mapping[str, Any], named: str) -> tuple[str, dict[str, float]]:
    return "adagrad", _numbers(config, "epsilon")


_ADAM = "beta_1 beta_2 epsilon amsgrad"
# Of each class: its own keys, and what they come to.
_READERS: Mapping[str, tuple[str, Callable[..., tuple[str, dict[str, float]]]]] = {
    "SGD": ("momentum nesterov", _sgd),
    "Adam": (_ADAM, _adam),
    "AdamW": (_ADAM, _adamw),
    "RMSprop": ("rho momentum epsilon centered", _rmsprop),
    "Adagrad": ("epsilon", _adagrad),
}
