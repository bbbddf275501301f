"""The optimizers and schedules in Keras."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import tf_keras

SGD, RMSprop = tf_keras.optimizers.SGD, tf_keras.optimizers.RMSprop

KERAS_OPTIMIZERS = {
    "sgd": SGD,
    "momentum": SGD,
    "nesterov": functools.partial(SGD, nesterov=True),
    "adam": tf_keras.optimizers.Adam,
    "adamw": tf_keras.optimizers.AdamW,
    "rmsprop": RMSprop,
    "rmsprop_momentum": RMSprop,
    "rmsprop_centered": functools.partial(RMSprop, centered=True),
}
_MOMENTS = {"first_moment": "_momentums", "second_moment": "_velocities"}
# Of each optimizer's slots, the attribute in which Keras has them.
KERAS_SLOTS = {
    "sgd": {},
    "momentum": {"momentum": "momentums"},
    "nesterov": {"momentum": "momentums"},
    "adam": _MOMENTS,
    "adamw": _MOMENTS,
    "rmsprop": {"mean_square": "_velocities"},
    "rmsprop_momentum": {"mean_square": "_velocities", "momentum": "_momentums"},
    "rmsprop_centered": {"mean_square": "_velocities", "mean": "_average_gradients"},
}


def rate(kind: str, state: Mapping[str, np.ndarray], step: int) -> float:
    """Returns Keras' learning rate of one update, in float64.

    Args:
      kind: of the schedule.
      state: holds the learning rate and the schedule's settings.
      step: updates done before this one.
    """
    full = float(state["learning_rate"][0])
    if "warmup_steps" not in state:
        return full
    warmup = float(state["warmup_steps"][0])
    first = full / (warmup + 1)
    if kind == "constant":
        return min(first * (step + 1), full)
    of = tf_keras.optimizers.schedules
    decay_steps = float(state["decay_steps"][0])
    if kind == "cosine":
        schedule = of.CosineDecay(
            np.float64(first),
            decay_steps,
            alpha=float(state["final_rate"][0]),
            warmup_target=full,
            warmup_steps=warmup,
        )
        return float(schedule(step))
    if step < warmup:
        return first * (step + 1)
    decay_rate = float(state["decay_rate"][0])
    schedule = of.ExponentialDecay(
        np.float64(full), decay_steps, decay_rate, staircase=kind == "step"
    )
    return float(schedule(step - warmup))
