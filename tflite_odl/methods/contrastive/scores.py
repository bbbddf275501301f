"""What an item's score is made of."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin.losses.nt_xent import Contrast, Normalized, nt_xent
from tflite_odl.methods.contrastive.config import NT_XENT


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of rows and what stands for them where embeddings are compared.

    Attributes:
      score: [M] float32.
      embedding: [M, P] float32, the mean of both views' unit vectors.
    """

    score: tf.Tensor
    embedding: tf.Tensor

    def rows(self, start: int, end: int) -> Scored:
        return Scored(self.score[start:end], self.embedding[start:end])


def of_training(
    kind: str, contrast: Contrast, first: Normalized, second: Normalized
) -> Scored:
    """Returns the scores that the training step has anyway: no forward pass is spent.

    Args:
      kind: one of `config.SCORES`; "flip" scores its training views here, too.
      contrast: the loss of the views.
      first, second: the views' projections.
    """
    score = contrast.row_losses if kind == NT_XENT else 1.0 - contrast.similarity
    return Scored(score, (first.z + second.z) * 0.5)


def apart(
    kind: str, first: Normalized, second: Normalized, mask: tf.Tensor, tau: tf.Tensor
) -> Scored:
    """Returns scores of views that were passed forward for that alone.

    Args:
      kind: one of `config.SCORES`.
      first, second: the views' projections, [M, P].
      mask: [M] float32, 1 for rows that count.
      tau: [1].
    """
    return of_training(kind, nt_xent(first.z, second.z, mask, tau), first, second)


def mirrored(x: tf.Tensor) -> tf.Tensor:
    """Returns images [B, H, W, C] with left and right changed; windows [B, T, C] with
    the time reversed."""
    return tf.reverse(x, [2 if x.shape.rank == 4 else 1])
