"""Learning-rate schedules, computed in the graph from the step counter."""

from __future__ import annotations

import dataclasses
import math

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.optimizers.base import Tensors
from tflite_odl.errors import ModelError

# What each kind reads beside the warm-up, as it is named in the state.
SETTINGS = {
    "constant": (),
    "cosine": ("decay_steps", "final_rate"),
    "exponential": ("decay_steps", "decay_rate"),
    "step": ("decay_steps", "decay_rate"),
    "polynomial": ("decay_steps", "final_rate", "decay_power"),
}

# Of every setting, both ends included.
RANGES = {
    "warmup_steps": (0.0, 2.0**24),
    "decay_steps": (1.0, 2.0**31),
    "final_rate": (0.0, 1.0),
    "decay_rate": (1e-6, 1.0),
    "decay_power": (0.01, 100.0),
    "first_rate": (0.0, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate of update s = 0, 1, ... is learning_rate * warm * decay, with

    warm = min(a + (1 - a) s / W, 1), a = 1 / (W + 1) unless `first_rate` says it, and,
    of t = max(s - W, 0) / decay_steps,
      constant     decay = 1
      cosine       decay = f + (1 - f) (1 + cos(pi min(t, 1))) / 2
      exponential  decay = decay_rate ^ t
      step         decay = decay_rate ^ floor(t)
      polynomial   decay = f + (1 - f) (1 - min(t, 1))^decay_power

    so Keras' CosineDecay with a warm-up from learning_rate / (W + 1), or from
    `first_rate` of it, and its other schedules after one: by default no update is spent
    on a rate of zero.

    Attributes:
      kind: a key of `SETTINGS`.
      warmup_steps: W, updates until the full rate; 0 begins with it.
      decay_steps: updates that the cosine takes, or after which one more factor of
        decay_rate is reached.
      final_rate: f, what cosine and polynomial end with, relative to the full rate.
      decay_rate: above 0, at most 1.
      decay_power: of the polynomial; 1 is a straight line.
      first_rate: a, what the warm-up begins with, relative to the full rate; None
        begins with 1 / (W + 1).

    References: Loshchilov and Hutter, 2017, arXiv:1608.03983 (cosine).
    """

    kind: str = "constant"
    warmup_steps: int = 0
    decay_steps: int = 1000
    final_rate: float = 0.0
    decay_rate: float = 0.5
    decay_power: float = 1.0
    first_rate: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in SETTINGS:
            raise ModelError(f"schedule {self.kind!r} is not one of {list(SETTINGS)}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ModelError(
                    f"schedule: {name} is from {low} to {high}, got {value}"
                )

    def hyperparameters(self) -> dict[str, float]:
        """Returns what `configure` can change; nothing for a constant rate."""
        names = SETTINGS[self.kind]
        if self.warmup_steps or names:
            names = ("warmup_steps", *names)
        if self.first_rate is not None:
            names = (*names, "first_rate")
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
        rate = rate * tf.minimum(self._warm(state, done, warmup), 1.0)
        if self.kind == "constant":
            return rate
        t = tf.maximum(done - warmup, 0.0) / tf.maximum(state["decay_steps"], 1.0)
        if "final_rate" in SETTINGS[self.kind]:
            final, left = state["final_rate"], self._left(state, tf.minimum(t, 1.0))
            return rate * (final + (1.0 - final) * left)
        t = tf.floor(t) if self.kind == "step" else t
        return rate * tf.pow(state["decay_rate"], t)

    def _warm(self, state: Tensors, done: tf.Tensor, warmup: tf.Tensor) -> tf.Tensor:
        """Returns the warm-up's factor of update `done`, more than 1 behind it."""
        if self.first_rate is None:
            return (done + 1.0) / (warmup + 1.0)
        first = state["first_rate"]
        # Without a warm-up, W = 0, the first update is behind it.
        after = (done + 1.0 - tf.minimum(warmup, 1.0)) / tf.maximum(warmup, 1.0)
        return first + (1.0 - first) * after

    def _left(self, state: Tensors, t: tf.Tensor) -> tf.Tensor:
        """Returns how much of a decay that ends is still to come, 1 to 0."""
        if self.kind == "cosine":
            return (1.0 + tf.cos(math.pi * t)) * 0.5
        return tf.pow(1.0 - t, state["decay_power"])
