"""Keras' learning-rate schedules, as a `builtin.schedules.Schedule`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tflite_odl.builtin.schedules import Schedule
from tflite_odl.errors import ModelError

_INSTEAD = "say the schedule yourself (--schedule, --learning_rate) with --optimizer"
Read = Callable[[Mapping[str, Any], str], tuple[float, Schedule]]


def read(serialized: Mapping[str, Any], named: str) -> tuple[float, Schedule]:
    """Returns (the full learning rate, its schedule).

    Args:
      serialized: class name and configuration, as either Keras saves a schedule.
      named: what was compiled with it, for errors.

    Raises:
      ModelError: the schedule or a key of it is not understood.
    """
    kind, config = serialized.get("class_name"), serialized.get("config", {})
    if kind not in _READERS:
        raise ModelError(
            f"{named} and learning rate {kind}, which has no builtin form here, as "
            f"{', '.join(_READERS)} have; {_INSTEAD}"
        )
    keys, reader = _READERS[kind]
    unknown = sorted(set(config) - {"name", *keys.split()})
    if unknown:
        raise ModelError(
            f"{named} and learning rate {kind}, whose {unknown[0]}="
            f"{config[unknown[0]]!r} is not understood; {_INSTEAD}"
        )
    return reader(config, f"{named} and learning rate {kind}")


def _cosine(config: Mapping[str, Any], named: str) -> tuple[float, Schedule]:
    first, decay_steps = config["initial_learning_rate"], config["decay_steps"]
    final, full = config.get("alpha", 0.0), config.get("warmup_target")
    if full is None:  # then Keras does not warm up, whatever the steps
        return first, Schedule(
            "cosine", decay_steps=int(decay_steps), final_rate=float(final)
        )
    if not 0 <= first <= full or not full:
        raise ModelError(
            f"{named}, whose warm-up goes down from {first:g} to {full:g}: not "
            f"understood; {_INSTEAD}"
        )
    return full, Schedule(
        "cosine",
        warmup_steps=int(config.get("warmup_steps", 0)),
        decay_steps=int(decay_steps),
        final_rate=float(final),
        first_rate=first / full,
    )


def _exponential(config: Mapping[str, Any], named: str) -> tuple[float, Schedule]:
    return config["initial_learning_rate"], Schedule(
        "step" if config.get("staircase") else "exponential",
        decay_steps=int(config["decay_steps"]),
        decay_rate=float(config["decay_rate"]),
    )


def _polynomial(config: Mapping[str, Any], named: str) -> tuple[float, Schedule]:
    full, last = config["initial_learning_rate"], config.get("end_learning_rate", 1e-4)
    if config.get("cycle"):
        raise ModelError(f"{named}, whose cycle=True is not understood; {_INSTEAD}")
    if not 0 <= last <= full or not full:
        raise ModelError(
            f"{named}, which goes up from {full:g} to {last:g}: not understood; "
            f"{_INSTEAD}"
        )
    return full, Schedule(
        "polynomial",
        decay_steps=int(config["decay_steps"]),
        final_rate=last / full,
        decay_power=float(config.get("power", 1.0)),
    )


# Of each class: its keys, and what they come to.
_READERS: Mapping[str, tuple[str, Read]] = {
    "CosineDecay": (
        "initial_learning_rate decay_steps alpha warmup_target warmup_steps",
        _cosine,
    ),
    "ExponentialDecay": (
        "initial_learning_rate decay_steps decay_rate staircase",
        _exponential,
    ),
    "PolynomialDecay": (
        "initial_learning_rate decay_steps end_learning_rate power cycle",
        _polynomial,
    ),
}
