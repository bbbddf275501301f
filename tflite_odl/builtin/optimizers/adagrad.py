"""Adagrad: each gradient divided by the root of the sum of all squares so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.optimizers.base import Optimizer, slot_name

# What the sums begin at, Keras' default.
FIRST = 0.1


@dataclasses.dataclass(frozen=True)
class Adagrad(Optimizer):
    """v <- v + g^2; w <- w - lr g / sqrt(v + epsilon).

    References: Duchi, Hazan and Singer, 2011, JMLR 12.
    """

    learning_rate: float = 0.001
    epsilon: float = 1e-7
    slots = ("square_sum",)

    def initial(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns {slot name: what its sums begin at} for the given weights."""
        return {
            slot_name(weight, slot): np.full_like(value, FIRST)
            for weight, value in weights.items()
            for slot in self.slots
        }

    def step(self, weight, gradient, slots, state, shared) -> list:
        v = slots[0] + gradient * gradient
        return [weight - shared * gradient / tf.sqrt(v + state["epsilon"]), v]
