"""What every optimizer is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.lazy import tf

Tensors = Mapping[str, "tf.Tensor"]


# Of every hyper-parameter, both ends included: what keeps new weights and slots finite
# while gradients are, and means what it says in float32.
BELOW_ONE = 1 - 2.0**-20
RANGES = {
    "learning_rate": (0.0, 1e3),
    "momentum": (0.0, 1.0),
    "rho": (0.0, 1.0),
    "beta_1": (0.0, BELOW_ONE),
    "beta_2": (0.0, BELOW_ONE),
    "epsilon": (1e-16, 1e3),
    "weight_decay": (0.0, 1e3),
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Base: the fields are hyper-parameters that `configure` can change on the phone.

    `slots` names the tensors kept per weight; subclasses give `step`.

    Attributes:
      learning_rate: lr.
      weight_decay: every trainable weight first decays, w <- w - lr weight_decay w, as
        in Keras; None is none, and then `configure` cannot switch it on.
    """

    learning_rate: float = 0.01
    weight_decay: float | None = None

    slots = ()

    def hyperparameters(self) -> dict[str, float]:
        """Returns {name: value} of those that there are."""
        fields = dataclasses.asdict(self).items()
        return {name: value for name, value in fields if value is not None}

    @classmethod
    def settable(cls) -> tuple[str, ...]:
        """Returns the names of all hyper-parameters, of those that are off, too."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def initial(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns {slot name: zeros} for the given weights."""
        return {
            slot_name(weight, slot): np.zeros_like(value)
            for weight, value in weights.items()
            for slot in self.slots
        }

    def update(
        self, gradients: Tensors, state: Tensors, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the new weights and slots.

        Args:
          gradients: {weight name: gradient}.
          state: holds the weights, their slots and the hyper-parameters.
          step: [1] int32, updates done before this one.
        """
        shared = self.shared(state, step)
        news = {}
        for name, gradient in gradients.items():
            slots = [state[slot_name(name, slot)] for slot in self.slots]
            weight = self._decayed(state[name], state)
            weight, *slots = self.step(weight, gradient, slots, state, shared)
            news[name] = weight
            for slot, value in zip(self.slots, slots, strict=True):
                news[slot_name(name, slot)] = value
        return news

    def _decayed(self, weight: tf.Tensor, state: Tensors) -> tf.Tensor:
        if self.weight_decay is None:
            return weight
        # Not w (1 - lr decay): that rounds the small decay to float32's steps near 1.
        return weight - weight * (state["learning_rate"] * state["weight_decay"])

    def shared(self, state: Tensors, step: tf.Tensor) -> tf.Tensor:
        """Returns what all weights share in one step, by default the learning rate."""
        return state["learning_rate"]

    def step(self, weight, gradient, slots, state: Tensors, shared: tf.Tensor) -> list:
        """Returns [new weight, *new slots] of one weight."""
        raise NotImplementedError(type(self).__name__)


def slot_name(weight: str, slot: str) -> str:
    """Returns the state name of a weight's slot."""
    return f"{weight}_{slot}"
