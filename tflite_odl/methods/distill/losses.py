"""What student and teacher learn by, with gradients in closed form.

    L_s = l_ce CE(y, p_s)
        + l_kd [(1 - w) T^2 KL(p_t^T || p_s^T) + w CE(argmax z_t, p_s)]
        + l_h max(0, D_b - m),  D_b = |Hn(p_t) - Hn(p_s)| of the batch
    L_t = CE(y, p_t) + l_t KL(p_s || p_t)

Means of L_s are over the rows that count, of CE(y, .) and of L_t over labelled rows.
Gradients: softmax's cross-entropy with a target q has p - q, KL at temperature T
has (p_s^T - p_t^T) / T, and dH/dz = -p (ln p + H).

A row's weight is a factor on its part of L_s and L_t, but for the entropy term, which
is of the batch; a class's weight is one on CE(y, .) alone, and there alone labels are
smoothed. Standardised logits, (z - mean z) / deviation of z, may take the place of the
logits in the soft part (Sun et al., 2024, arXiv:2403.01731).
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

# Of logits, below which they are not made larger.
LEAST_VARIANCE = 1e-7


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
      weight: of each row; None weighs all alike.
      of_class: weight of each row's class; None weighs all alike.
    """

    good: tf.Tensor
    labelled: tf.Tensor
    weight: tf.Tensor | None = None
    of_class: tf.Tensor | None = None

    @property
    def told(self) -> tf.Tensor:
        """Of what a teacher says of rows that count."""
        return self.good if self.weight is None else self.good * self.weight

    @property
    def followed(self) -> tf.Tensor:
        """Of what a student says of labelled rows."""
        return self.labelled if self.weight is None else self.labelled * self.weight

    @property
    def taught(self) -> tf.Tensor:
        """Of what labels say."""
        followed = self.followed
        return followed if self.of_class is None else followed * self.of_class

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
    standardize: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (L_s, [1], and its gradient with respect to z_s, [B, C]).

    Args:
      student, teacher: outputs of both.
      target: [B, C], labels as 0 and 1, or smoothed.
      shares: of the rows.
      temperature: T, [1].
      hard: w, [1].
      state: holds the weights of the loss and its margin.
      standardize: whether the soft part is of standardised logits.
    """
    loss, gradient = _cross_entropy(student, target, shares.taught)
    parts = [(state["label_weight"], loss, gradient)]
    rows, slope = _soft_part(student, teacher, temperature, standardize)
    told = shares.told
    loss, gradient = _cross_entropy(student, _chosen(teacher.z), told)
    weight = state["teacher_weight"]
    parts += [
        (weight * (1.0 - hard), total(rows * told), slope * told),
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
    mutual: tf.Tensor | float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (L_t, [1], and its gradient with respect to z_t, [B, C])."""
    loss, gradient = _cross_entropy(teacher, target, shares.taught)
    divergence = tf.reduce_sum(student.p * (student.log - teacher.log), 1, True)
    loss = loss + mutual * total(divergence * shares.followed)
    pull = (teacher.p - student.p) * (mutual * shares.followed)
    return loss, gradient + pull


def by_temperature(
    student: Logits,
    teacher: Logits,
    shares: Shares,
    temperature: tf.Tensor,
    standardize: bool = False,
) -> tf.Tensor:
    """Returns [1]: the derivative of the soft part's mean with respect to T.

        d/dT T^2 KL = 2 T KL - cov(z_t, ln p_t^T - ln p_s^T) + E_t z_s - E_s z_s

    E and cov being means by p^T, the covariance by p_t^T.
    """
    if standardize:
        student, teacher = (
            Logits.of(_standardized(o.z)[0]) for o in (student, teacher)
        )
    s, t = student.at(temperature), teacher.at(temperature)

    def mean(p: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(p * values, 1, keepdims=True)

    apart = t.log - s.log
    covariance = mean(t.p, (teacher.z - mean(t.p, teacher.z)) * apart)
    moved = mean(t.p - s.p, student.z)
    rows = 2.0 * temperature * mean(t.p, apart) - covariance + moved
    return total(rows * shares.told)


def log_softmax(z: tf.Tensor) -> tf.Tensor:
    """Returns ln softmax(z), such that the converter does not see it is one: its
    LOG_SOFTMAX would leave the XNNPACK partition."""
    below = z - tf.reduce_max(z, 1, keepdims=True)
    log_sum = tf.math.log(tf.reduce_sum(tf.exp(below), 1, keepdims=True))
    return -(log_sum - below)


def _cross_entropy(logits: Logits, target: tf.Tensor, share: tf.Tensor):
    loss = -tf.reduce_sum(logits.log * target, 1, keepdims=True)
    return total(loss * share), (logits.p - target) * share


def _soft_part(student, teacher, temperature, standardize: bool):
    """Returns what `_soft` does, of standardised logits if these are asked for."""
    if not standardize:
        return _soft(student, teacher, temperature)
    u, deviation = _standardized(student.z)
    pair = Logits.of(u), Logits.of(_standardized(teacher.z)[0])
    rows, slope = _soft(*pair, temperature)
    mean = functools.partial(tf.reduce_mean, axis=1, keepdims=True)
    return rows, (slope - mean(slope) - u * mean(slope * u)) / deviation


def _standardized(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (z less its mean, divided by its deviation, and that, [B, 1])."""
    centred = z - tf.reduce_mean(z, 1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, 1, keepdims=True)
    deviation = tf.sqrt(variance + LEAST_VARIANCE)
    return centred / deviation, deviation


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
