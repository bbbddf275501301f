"""The optimizers and schedules in Keras."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.reading.compiled.optimizers import KERAS_SLOTS

__all__ = ["KERAS_OPTIMIZERS", "KERAS_SLOTS", "clipped", "rate"]

SGD, RMSprop = tf_keras.optimizers.SGD, tf_keras.optimizers.RMSprop

KERAS_OPTIMIZERS = {
    "sgd": SGD,
    "momentum": SGD,
    "nesterov": functools.partial(SGD, nesterov=True),
    "adam": tf_keras.optimizers.Adam,
    "adamw": tf_keras.optimizers.AdamW,
    "amsgrad": functools.partial(tf_keras.optimizers.Adam, amsgrad=True),
    "rmsprop": RMSprop,
    "rmsprop_momentum": RMSprop,
    "rmsprop_centered": functools.partial(RMSprop, centered=True),
    "adagrad": tf_keras.optimizers.Adagrad,
}


def clipped(state: Mapping[str, np.ndarray], gradients: list) -> list:
    """Returns the gradients within the limits that are in the state."""
    if "clip_value" in state:
        most = float(state["clip_value"][0])
        gradients = [tf.clip_by_value(g, -most, most) for g in gradients]
    if "clip_weight_norm" in state:
        most = float(state["clip_weight_norm"][0])
        gradients = [tf.clip_by_norm(g, most) for g in gradients]
    if "clip_norm" in state:
        most = float(state["clip_norm"][0])
        gradients, _ = tf.clip_by_global_norm(gradients, most)
    return gradients


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
    if "first_rate" in state:
        first = full * float(state["first_rate"][0])
    warming = first + (full - first) * step / max(warmup, 1)
    if kind == "constant":
        return warming if step < warmup else full
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
        return warming
    if kind == "polynomial":
        final, power = (float(state[n][0]) for n in ("final_rate", "decay_power"))
        schedule = of.PolynomialDecay(
            np.float64(full), decay_steps, full * final, power=power
        )
        return float(schedule(step - warmup))
    decay_rate = float(state["decay_rate"][0])
    schedule = of.ExponentialDecay(
        np.float64(full), decay_steps, decay_rate, staircase=kind == "step"
    )
    return float(schedule(step - warmup))
