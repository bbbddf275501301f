"""Adam, and Adam with decoupled weight decay."""

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
        return [weight - (m * shared) / (tf.sqrt(v) + state["epsilon"]), m, v]


@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """w <- w - lr decay w, then Adam; every trainable weight decays, as in Keras.

    References: Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    weight_decay: float = 0.004

    def step(self, weight, gradient, slots, state, shared) -> list:
        # Not w (1 - lr decay): that rounds the small decay to float32's steps near 1.
        shrink = state["learning_rate"] * state["weight_decay"]
        return super().step(weight - weight * shrink, gradient, slots, state, shared)
