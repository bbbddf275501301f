"""Keeping the gap between teacher and student proper: when an online teacher pauses.

    G     = mean ||p_s - p_t||_1
    delta = a - exp(-b / (a + b)) b,  a = mean ||p_s - y||_1,  b = mean ||p_t - y||_1

Means are over labelled rows, at T = 1; 0 / 0 = 0. Where G > delta and the teacher is
better, b < a, it pauses.

References: Qian et al., 2022 (SwitOKD), arXiv:2207.08068.
"""

from __future__ import annotations

import tensorflow as tf

TINY = 1e-12


def pauses(
    student: tf.Tensor, teacher: tf.Tensor, target: tf.Tensor, share: tf.Tensor
) -> tf.Tensor:
    """Returns [1] bool: whether the teacher pauses.

    Args:
      student: [B, C], p_s.
      teacher: [B, C], p_t.
      target: [B, C], y.
      share: [B, 1], 1 / labelled rows for these, else 0.
    """

    def distance(p: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
        rows = tf.reduce_sum(tf.abs(p - q) * share, 1)
        return tf.reduce_sum(rows, 0, keepdims=True)

    gap, a, b = (
        distance(student, teacher),
        distance(student, target),
        distance(teacher, target),
    )
    delta = a - tf.exp(-b / tf.maximum(a + b, TINY)) * b
    return tf.logical_and(gap > delta, b < a)
