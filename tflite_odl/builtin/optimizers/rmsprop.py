"""RMSprop: each gradient divided by the root of its running mean square."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.optimizers.base import Optimizer, Tensors


@dataclasses.dataclass(frozen=True)
class RMSprop(Optimizer):
    """v <- rho v + (1 - rho) g^2; w <- w - lr g / sqrt(v + epsilon).

    References: Tieleman and Hinton, 2012, lecture 6.5 of "Neural networks for machine
    learning".
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    slots = ("mean_square",)

    def step(self, weight, gradient, slots, state, shared) -> list:
        v = _moved(slots[0], gradient * gradient, state)
        return [weight - shared * gradient / tf.sqrt(v + state["epsilon"]), v]


@dataclasses.dataclass(frozen=True)
class RMSpropMomentum(RMSprop):
    """v <- rho v + (1 - rho) g^2; u <- mu u + lr g / sqrt(v + epsilon); w <- w - u."""

    momentum: float = 0.9
    slots = ("mean_square", "momentum")

    def step(self, weight, gradient, slots, state, shared) -> list:
        v = _moved(slots[0], gradient * gradient, state)
        pull = shared * gradient / tf.sqrt(v + state["epsilon"])
        u = slots[1] * state["momentum"] + pull
        return [weight - u, v, u]


@dataclasses.dataclass(frozen=True)
class RMSpropCentered(RMSprop):
    """v <- rho v + (1 - rho) g^2; a <- rho a + (1 - rho) g;
    w <- w - lr g / sqrt(v - a^2 + epsilon).

    References: Graves, 2013, arXiv:1308.0850.
    """

    slots = ("mean_square", "mean")

    def step(self, weight, gradient, slots, state, shared) -> list:
        v = _moved(slots[0], gradient * gradient, state)
        a = _moved(slots[1], gradient, state)
        # A variance, which rounding may leave below 0 where the gradient hardly varies.
        spread = tf.maximum(v - a * a, 0.0) + state["epsilon"]
        return [weight - shared * gradient / tf.sqrt(spread), v, a]


def _moved(mean: tf.Tensor, value: tf.Tensor, state: Tensors) -> tf.Tensor:
    return mean * state["rho"] + value * (1.0 - state["rho"])
