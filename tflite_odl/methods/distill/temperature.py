"""The temperature: soft targets while the student's entropy is far off, then hard ones.

With Hn = H / ln C at T = 1, averaged over a batch and then over steps by beta:

    D = |Hn(p_t) - Hn(p_s)|       entropy distance, the quantization gap
    P = running maximum of D
    u = 1 until D has peaked (D < .95 P for 20 steps running), then D / P
    T = T_min + (T_max - T_min) u^kappa
    w = 1 - (T - T_min) / (T_max - T_min), the hard weight

No gradient flows through any of it. All numbers are [1] float32.

A learnable temperature is T_min + (T_max - T_min) sigmoid(v) with w = 0, and v climbs
the student's loss, by the student's optimizer, with a strength that grows from 0 to 1
along half a cosine (CTKD: Li et al., 2022, arXiv:2211.16231).
"""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from tflite_odl.builtin.quantizers.steps import above
from tflite_odl.methods.base import StateTensor, Tensors
from tflite_odl.methods.distill.config import DistillConfig

# The distance has peaked once it was below this share of its maximum for so many steps.
BELOW, STEPS = 0.95, 20
# Counts are kept up to here, where float32 still tells each from the next.
MOST = 2.0**24
# The learnable one's v, a weight of the student's optimizer, and where it begins.
LOGIT, FIRST_LOGIT = "temperature_logit", 1.0
TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class Temperature:
    """What the entropies of one batch come to.

    Attributes:
      value: T.
      hard: w.
      news: {state name: value}.
    """

    value: tf.Tensor
    hard: tf.Tensor
    news: dict[str, tf.Tensor]


def state_tensors() -> list[StateTensor]:
    """Returns the controller's state."""

    def of(name: str, role: str, about: str) -> StateTensor:
        return StateTensor.of(name, tf.zeros([1]).numpy(), role, about)

    return [
        of("teacher_entropy", "counter", "running mean, of its maximum"),
        of("student_entropy", "counter", "running mean, of its maximum"),
        of("entropy_steps", "counter", "steps in the running means"),
        of("distance_peak", "counter", "largest entropy distance so far"),
        of("steps_below_peak", "counter", "steps running with a smaller distance"),
        of("peaked", "counter", "1 once the entropy distance is past its peak"),
    ]


def follow(
    config: DistillConfig, state: Tensors, teacher: tf.Tensor, student: tf.Tensor
) -> Temperature:
    """Returns the temperature of a step.

    Args:
      config: of the method.
      state: before the step.
      teacher: [1], Hn(p_t) of the batch.
      student: [1], Hn(p_s) of the batch.
    """
    keep = config.smoothing * tf.minimum(state["entropy_steps"], 1.0)
    means = {
        "teacher_entropy": state["teacher_entropy"] * keep + teacher * (1.0 - keep),
        "student_entropy": state["student_entropy"] * keep + student * (1.0 - keep),
    }
    distance = tf.abs(means["teacher_entropy"] - means["student_entropy"])
    peak = tf.maximum(state["distance_peak"], distance)
    below = tf.minimum(state["steps_below_peak"] + 1.0, MOST)
    below = below * above(BELOW * peak - distance)
    peaked = tf.maximum(state["peaked"], above(below - (STEPS - 0.5)))
    if not config.online:
        peaked = tf.ones([1])
    news = {
        **means,
        "entropy_steps": tf.minimum(state["entropy_steps"] + 1.0, MOST),
        "distance_peak": peak,
        "steps_below_peak": below,
        "peaked": peaked,
    }
    ratio = distance / tf.maximum(peak, TINY)
    u = {
        "ratchet": peaked * ratio + (1.0 - peaked),
        "distance": distance,
        "teacher": means["teacher_entropy"],
        "maximum": tf.maximum(means["teacher_entropy"], distance),
    }[config.drive]
    low = state["min_temperature"]
    # The converter must not see that it is 0: an output must come of an op.
    zero = tf.nn.relu(-low)
    if config.temperature == "fixed":
        u = 1.0 - zero
    elif config.temperature == "cosine":
        u = _cosine(config, state)
    elif config.temperature == "learnable":
        u = tf.sigmoid(state[LOGIT])
    elif config.power != 1.0:
        u = tf.pow(u, config.power)
    u = tf.minimum(tf.nn.relu(u), 1.0)
    hard = zero if config.temperature == "learnable" else 1.0 - u
    return Temperature(low + _span(state) * u, hard, news)


def gradient(config: DistillConfig, state: Tensors, slope: tf.Tensor) -> tf.Tensor:
    """Returns [1]: what an optimizer takes for v's gradient, so that it climbs.

    Args:
      config: of the method.
      state: before the step.
      slope: dL/dT, [1].
    """
    u = tf.sigmoid(state[LOGIT])
    strength = 1.0 - _cosine(config, state)
    return -strength * slope * _span(state) * u * (1.0 - u)


def _span(state: Tensors) -> tf.Tensor:
    return tf.nn.relu(state["max_temperature"] - state["min_temperature"])


def _cosine(config: DistillConfig, state: Tensors) -> tf.Tensor:
    """Returns 1 at the beginning of a run, 0 from `cosine_steps` on."""
    progress = tf.cast(state["step"], tf.float32) / config.cosine_steps
    return 0.5 + 0.5 * tf.cos(math.pi * tf.minimum(progress, 1.0))
