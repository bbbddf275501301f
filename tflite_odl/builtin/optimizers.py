"""Optimizers as pure functions: state in, state out, with Keras' arithmetic."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]


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
class Adam(Optimizer):
    """m <- m + (1 - b1)(g - m); v <- v + (1 - b2)(g^2 - v);
    w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).

    References: Kingma and Ba, 2015, arXiv:1412.6980.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    slots = ("first_moment", "second_moment")

    def shared(self, state: Tensors, step: tf.Tensor) -> tf.Tensor:
        t = tf.cast(step + 1, tf.float32)
        unbias_1 = 1.0 - tf.pow(state["beta_1"], t)
        unbias_2 = 1.0 - tf.pow(state["beta_2"], t)
        return state["learning_rate"] * tf.sqrt(unbias_2) / unbias_1

    def step(self, weight, gradient, slots, state, shared) -> list:
        m = slots[0] + (gradient - slots[0]) * (1.0 - state["beta_1"])
        v = slots[1] + (gradient * gradient - slots[1]) * (1.0 - state["beta_2"])
        return [weight - (m * shared) / (tf.sqrt(v) + state["epsilon"]), m, v]


OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "adam": Adam}


def slot_name(weight: str, slot: str) -> str:
    """Returns the state name of a weight's slot."""
    return f"{weight}_{slot}"


def squared_norm(gradients: Tensors) -> tf.Tensor:
    """Returns [1]: the sum of the squares of all entries, in two stages for kernels."""
    parts = []
    for gradient in gradients.values():
        square = gradient * gradient
        if square.shape.rank > 1:
            square = tf.reduce_sum(square, list(range(square.shape.rank - 1)))
        parts.append(tf.reduce_sum(square, 0, keepdims=True))
    return functools.reduce(operator.add, parts)


def clip(gradients: Tensors, norm: tf.Tensor, largest: tf.Tensor) -> Tensors:
    """Returns the gradients scaled so that their global norm is at most `largest`.

    Args:
      gradients: {weight name: gradient}.
      norm: [1], their global norm.
      largest: [1].
    """
    factor = largest / tf.maximum(norm, largest)
    return {name: gradient * factor for name, gradient in gradients.items()}
