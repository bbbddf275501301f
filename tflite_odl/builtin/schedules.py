"""Learning-rate schedules, computed in the graph from the step counter."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from tflite_odl.builtin.optimizers.base import Tensors
from tflite_odl.errors import ModelError

# What each kind reads beside the warm-up, as it is named in the state.
SETTINGS = {
    "constant": (),
    "cosine": ("decay_steps", "final_rate"),
    "exponential": ("decay_steps", "decay_rate"),
    "step": ("decay_steps", "decay_rate"),
}


# Of every setting, both ends included.
RANGES = {
    "warmup_steps": (0.0, 2.0**24),
    "decay_steps": (1.0, 2.0**31),
    "final_rate": (0.0, 1.0),
    "decay_rate": (1e-6, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate of update s = 0, 1, ... is learning_rate * warm * decay, with

    warm = min((s + 1) / (W + 1), 1) and, of t = max(s - W, 0) / decay_steps,
      constant     decay = 1
      cosine       decay = f + (1 - f) (1 + cos(pi min(t, 1))) / 2
      exponential  decay = decay_rate ^ t
      step         decay = decay_rate ^ floor(t)

    so Keras' CosineDecay with a warm-up from learning_rate / (W + 1), and its
    ExponentialDecay after one: no update is spent on a rate of zero.

    Attributes:
      kind: a key of `SETTINGS`.
      warmup_steps: W, updates until the full rate; 0 begins with it.
      decay_steps: updates that the cosine takes, or after which one more factor of
        decay_rate is reached.
      final_rate: f, what the cosine ends with, relative to the full rate.
      decay_rate: above 0, at most 1.

    References: Loshchilov and Hutter, 2017, arXiv:1608.03983 (cosine).
    """

    kind: str = "constant"
    warmup_steps: int = 0
    decay_steps: int = 1000
    final_rate: float = 0.0
    decay_rate: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in SETTINGS:
            raise ModelError(f"schedule {self.kind!r} is not one of {list(SETTINGS)}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ModelError(
                    f"schedule: {name} is from {low} to {high}, got {value}"
                )

    def hyperparameters(self) -> dict[str, float]:
        """Returns what `configure` can change; nothing for a constant rate."""
        names = SETTINGS[self.kind]
        if self.warmup_steps or names:
            names = ("warmup_steps", *names)
        return {name: float(getattr(self, name)) for name in names}

    def rate(self, state: Tensors, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate of one update, [1] float32.

        Args:
          state: holds `learning_rate` and the hyper-parameters.
          step: [1] int32, updates done before this one.
        """
        rate = state["learning_rate"]
        if not self.hyperparameters():
            return rate
        done = tf.cast(step, tf.float32)
        warmup = tf.maximum(state["warmup_steps"], 0.0)
        rate = rate * tf.minimum((done + 1.0) / (warmup + 1.0), 1.0)
        if self.kind == "constant":
            return rate
        t = tf.maximum(done - warmup, 0.0) / tf.maximum(state["decay_steps"], 1.0)
        if self.kind == "cosine":
            final = state["final_rate"]
            cosine = (1.0 + tf.cos(math.pi * tf.minimum(t, 1.0))) * 0.5
            return rate * (final + (1.0 - final) * cosine)
        t = tf.floor(t) if self.kind == "step" else t
        return rate * tf.pow(state["decay_rate"], t)
