"""What student and teacher learn by, with gradients in closed form.

    L_s = l_ce CE(y, p_s)
        + l_kd [(1 - w) T^2 KL(p_t^T || p_s^T) + w CE(argmax z_t, p_s)]
        + l_h max(0, D_b - m),  D_b = |Hn(p_t) - Hn(p_s)| of the batch
    L_t = CE(y, p_t) + l_t KL(p_s || p_t)

Means of L_s are over the rows that count, of CE(y, .) and of L_t over labelled rows.
Gradients: softmax's cross-entropy with a target q has p - q, KL at temperature T
has (p_s^T - p_t^T) / T, and dH/dz = -p (ln p + H).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator

import tensorflow as tf

from tflite_odl.builtin.losses.base import total
from tflite_odl.builtin.quantizers.steps import above
from tflite_odl.methods.base import Tensors


@dataclasses.dataclass(frozen=True)
class Logits:
    """Logits z, [B, C], with what is made of them at T = 1.

    Attributes:
      z: logits.
      log: ln p.
      p: softmax.
      entropy: [B, 1], H / ln C.
    """

    z: tf.Tensor
    log: tf.Tensor
    p: tf.Tensor
    entropy: tf.Tensor

    @classmethod
    def of(cls, z: tf.Tensor) -> Logits:
        log, p = log_softmax(z), tf.nn.softmax(z)
        scale = -1.0 / math.log(z.shape[1])
        return cls(z, log, p, tf.reduce_sum(p * log, 1, keepdims=True) * scale)

    def at(self, temperature: tf.Tensor) -> Logits:
        return Logits.of(self.z / temperature)


@dataclasses.dataclass(frozen=True)
class Shares:
    """What each row weighs in a mean, [B, 1].

    Attributes:
      good: 1 / rows that count for these, else 0.
      labelled: 1 / labelled rows for these, else 0.
    """

    good: tf.Tensor
    labelled: tf.Tensor

    def entropy(self, logits: Logits) -> tf.Tensor:
        """Returns [1]: the mean of Hn over the rows that count."""
        return total(logits.entropy * self.good)


def of_student(
    student: Logits,
    teacher: Logits,
    target: tf.Tensor,
    shares: Shares,
    temperature: tf.Tensor,
    hard: tf.Tensor,
    state: Tensors,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (L_s, [1], and its gradient with respect to z_s, [B, C]).

    Args:
      student, teacher: outputs of both.
      target: [B, C], labels as 0 and 1.
      shares: of the rows.
      temperature: T, [1].
      hard: w, [1].
      state: holds the weights of the loss and its margin.
    """
    loss, gradient = _cross_entropy(student, target, shares.labelled)
    parts = [(state["label_weight"], loss, gradient)]
    soft, chosen = _soft(student, teacher, temperature), _chosen(teacher.z)
    loss, gradient = _cross_entropy(student, chosen, shares.good)
    weight = state["teacher_weight"]
    parts += [
        (weight * (1.0 - hard), total(soft[0] * shares.good), soft[1] * shares.good),
        (weight * hard, loss, gradient),
        (state["entropy_weight"], *_entropy(student, teacher, shares, state)),
    ]
    # Not ADD_N, which would leave the XNNPACK partition.
    return (
        functools.reduce(operator.add, [factor * one for factor, one, _ in parts]),
        functools.reduce(operator.add, [factor * one for factor, _, one in parts]),
    )


def of_teacher(
    teacher: Logits,
    student: Logits,
    target: tf.Tensor,
    shares: Shares,
    mutual: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (L_t, [1], and its gradient with respect to z_t, [B, C])."""
    loss, gradient = _cross_entropy(teacher, target, shares.labelled)
    divergence = tf.reduce_sum(student.p * (student.log - teacher.log), 1, True)
    loss = loss + mutual * total(divergence * shares.labelled)
    pull = (teacher.p - student.p) * (mutual * shares.labelled)
    return loss, gradient + pull


def log_softmax(z: tf.Tensor) -> tf.Tensor:
    """Returns ln softmax(z), such that the converter does not see it is one: its
    LOG_SOFTMAX would leave the XNNPACK partition."""
    below = z - tf.reduce_max(z, 1, keepdims=True)
    log_sum = tf.math.log(tf.reduce_sum(tf.exp(below), 1, keepdims=True))
    return -(log_sum - below)


def _cross_entropy(logits: Logits, target: tf.Tensor, share: tf.Tensor):
    loss = -tf.reduce_sum(logits.log * target, 1, keepdims=True)
    return total(loss * share), (logits.p - target) * share


def _soft(student: Logits, teacher: Logits, temperature: tf.Tensor):
    """Returns rows of T^2 KL(p_t^T || p_s^T), [B, 1], and gradients, [B, C]."""
    s, t = student.at(temperature), teacher.at(temperature)
    rows = tf.reduce_sum(t.p * (t.log - s.log), 1, keepdims=True)
    return rows * temperature * temperature, (s.p - t.p) * temperature


def _chosen(z: tf.Tensor) -> tf.Tensor:
    """Returns the largest logit's class as 0 and 1; equal ones share it."""
    largest = 1.0 - above(tf.reduce_max(z, 1, keepdims=True) - z)
    return largest / tf.reduce_sum(largest, 1, keepdims=True)


def _entropy(student: Logits, teacher: Logits, shares: Shares, state: Tensors):
    """Returns max(0, D_b - m), its gradient through Hn(p_s) alone."""
    difference = shares.entropy(student) - shares.entropy(teacher)
    excess = tf.abs(difference) - state["entropy_margin"]
    sign = above(difference) - above(-difference)
    scale = 1.0 / math.log(student.z.shape[1])
    slope = student.p * (student.log * -scale - student.entropy)
    return tf.nn.relu(excess), slope * (shares.good * (sign * above(excess)))
