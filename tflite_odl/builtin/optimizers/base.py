"""What every optimizer is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]


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
    """

    learning_rate: float = 0.01

    slots = ()

    def hyperparameters(self) -> dict[str, float]:
        return dataclasses.asdict(self)

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
            weight, *slots = self.step(state[name], gradient, slots, state, shared)
            news[name] = weight
            for slot, value in zip(self.slots, slots, strict=True):
                news[slot_name(name, slot)] = value
        return news

    def shared(self, state: Tensors, step: tf.Tensor) -> tf.Tensor:
        """Returns what all weights share in one step, by default the learning rate."""
        return state["learning_rate"]

    def step(self, weight, gradient, slots, state: Tensors, shared: tf.Tensor) -> list:
        """Returns [new weight, *new slots] of one weight."""
        raise NotImplementedError(type(self).__name__)


def slot_name(weight: str, slot: str) -> str:
    """Returns the state name of a weight's slot."""
    return f"{weight}_{slot}"
