"""Adam, with decoupled weight decay, and with a second moment that never falls."""

from __future__ import annotations

import dataclasses

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.optimizers.base import Optimizer, Tensors


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
        seconds = self.seconds(v, slots)
        root = tf.sqrt(seconds[-1]) + state["epsilon"]
        return [weight - (m * shared) / root, m, *seconds]

    def seconds(self, v: tf.Tensor, slots: list) -> list:
        """Returns the new slots behind the first moment; the root is the last one's."""
        return [v]


@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """w <- w - lr decay w, then Adam.

    References: Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    weight_decay: float | None = 0.004


@dataclasses.dataclass(frozen=True)
class AMSGrad(Adam):
    """Adam, divided by the largest second moment so far: u <- max(u, v), sqrt(u).

    References: Reddi, Kale and Kumar, 2018, ICLR.
    """

    slots = ("first_moment", "second_moment", "largest_second_moment")

    def seconds(self, v: tf.Tensor, slots: list) -> list:
        return [v, tf.maximum(slots[2], v)]
