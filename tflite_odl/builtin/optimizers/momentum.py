"""Stochastic gradient descent, with and without momentum."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.optimizers.base import Optimizer


@dataclasses.dataclass(frozen=True)
class SGD(Optimizer):
    """w <- w - lr g."""

    def step(self, weight, gradient, slots, state, shared) -> list:
        return [weight - shared * gradient]


@dataclasses.dataclass(frozen=True)
class Momentum(Optimizer):
    """v <- mu v - lr g; w <- w + v (Polyak 1964; as Keras writes it)."""

    momentum: float = 0.9
    slots = ("momentum",)

    def step(self, weight, gradient, slots, state, shared) -> list:
        velocity = slots[0] * state["momentum"] - shared * gradient
        return [weight + velocity, velocity]


@dataclasses.dataclass(frozen=True)
class Nesterov(Momentum):
    """v <- mu v - lr g; w <- w + mu v - lr g.

    References: Nesterov, 1983; in this form Sutskever et al., 2013, ICML.
    """

    def step(self, weight, gradient, slots, state, shared) -> list:
        pull = shared * gradient
        velocity = slots[0] * state["momentum"] - pull
        return [weight + (velocity * state["momentum"] - pull), velocity]
