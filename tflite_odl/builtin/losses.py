"""Losses: a value and its gradient with respect to the logits."""

from __future__ import annotations

import tensorflow as tf


def sparse_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy of softmax(logits), averaged over the rows with weight.

    L = -sum_i w_i ln p_i[y_i] / sum_i w_i;  dL/dz_i = w_i (p_i - onehot(y_i)) / sum w.

    Args:
      logits: [B, C] float32.
      labels: [B] int32, in 0 .. C - 1 wherever the weight is not 0.
      weights: [B] float32.

    Returns:
      The loss, [1] float32, and its gradient, [B, C].
    """
    target = tf.one_hot(labels, logits.shape[-1])
    total = tf.maximum(tf.reduce_sum(weights), 1e-12)
    share = tf.reshape(weights / total, [-1, 1])
    log_p = tf.nn.log_softmax(logits)
    loss = -tf.reduce_sum(target * log_p * share, [0, 1])
    return tf.reshape(loss, [1]), (tf.nn.softmax(logits) - target) * share


def correct(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns [1] float32: total weight of rows whose largest logit is the label's."""
    best = tf.argmax(logits, -1, output_type=tf.int32)
    hit = tf.cast(tf.equal(best, labels), tf.float32)
    return tf.reshape(tf.reduce_sum(hit * weights), [1])
