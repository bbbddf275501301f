"""Two views of each item through one network: loss, gradients, scores, embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin import rows
from tflite_odl.builtin.losses.nt_xent import Contrast, Normalized, normalized, nt_xent
from tflite_odl.builtin.lowering import Rows
from tflite_odl.methods.augmentation import View
from tflite_odl.methods.base import Tensors
from tflite_odl.methods.contrastive.config import FLIP, NT_XENT
from tflite_odl.methods.network import Network


@dataclasses.dataclass(frozen=True)
class Segment:
    """The new items of a call.

    Attributes:
      item: [n, ...], as the sensor gives them, zeros in rows that do not count.
      good: [n] float32, 1 for rows that count.
      rejected: [1] int32, real rows that do not.
    """

    item: tf.Tensor
    good: tf.Tensor
    rejected: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of rows, and what stands for them where embeddings are compared.

    Attributes:
      score: [M] float32.
      embedding: [M, P] float32, the mean of both views' unit vectors.
    """

    score: tf.Tensor
    embedding: tf.Tensor

    def rows(self, start: int, end: int) -> Scored:
        return Scored(self.score[start:end], self.embedding[start:end])


@dataclasses.dataclass(frozen=True)
class Step:
    """What a mini-batch comes to.

    Attributes:
      loss: [1].
      gradients: {weight name: gradient}.
      moved: {weight name: new value} of what moves without a gradient.
      scored: of its rows.
    """

    loss: tf.Tensor
    gradients: Tensors
    moved: Tensors
    scored: Scored


@dataclasses.dataclass(frozen=True)
class Siamese:
    """A network that sees two views of each item.

    Attributes:
      network: the encoder with the projector behind it.
      encoder: the part of it up to the embedding.
      views: the two random views.
      score: one of `config.SCORES`.
    """

    network: Network
    encoder: Network
    views: tuple[View, View]
    score: str

    def segment(self, inputs: Tensors) -> Segment:
        """Returns the rows of a call, those that do not count zeroed."""
        counted = self.network.counted(inputs)
        item = inputs[self.network.features[0].name]
        if item.dtype == tf.float32:
            good = tf.reshape(counted.good, [-1] + [1] * (item.shape.rank - 1))
            item = tf.where(good, item, 0.0)
        rejected = rows.rejected(counted.real, counted.good)
        return Segment(item, tf.cast(counted.good, tf.float32), rejected)

    def step(self, state: Tensors, item: tf.Tensor, mask: tf.Tensor) -> Step:
        """Returns what a mini-batch comes to: the only forward pass in training.

        Args:
          state: before the step.
          item: [M, ...], as the sensor gives them.
          mask: [M] float32, 1 for rows that count.
        """
        raw, count = tf.cast(item, tf.float32), item.shape[0]
        x = self._joined([view(state["random"], raw) for view in self.views])
        record = self.network.forward(state, x, Rows.of(tf.concat([mask, mask], 0)))
        u = record.output
        first, second = normalized(u[:count]), normalized(u[count:])
        found = nt_xent(first.z, second.z, mask, state["tau"])
        du = tf.concat([first.backward(found.dz1), second.backward(found.dz2)], 0)
        scored = self._scored(found, first, second)
        return Step(found.loss, record.backward(du), record.moved, scored)

    def apart(self, state: Tensors, item: tf.Tensor, mask: tf.Tensor) -> Scored:
        """Returns scores by forward passes of their own, in inference.

        Args:
          state, item, mask: as `step` takes them.
        """
        raw, count = tf.cast(item, tf.float32), item.shape[0]
        if self.score == FLIP:
            pair = [raw, mirrored(raw)]
        else:
            pair = [view(state["random"], raw) for view in self.views]
        every = Rows.of(tf.ones([2 * count]))
        u = self.network.infer(state, self._joined(pair), every, judged=True)
        first, second = normalized(u[:count]), normalized(u[count:])
        found = nt_xent(first.z, second.z, mask, state["tau"])
        return self._scored(found, first, second)

    def _scored(self, found: Contrast, first: Normalized, second: Normalized) -> Scored:
        score = 1.0 - found.similarity
        if self.score == NT_XENT:
            score = found.row_losses
        return Scored(score, (first.z + second.z) * 0.5)

    def embedded(
        self, state: Tensors, x: Sequence[tf.Tensor], judged: bool
    ) -> tf.Tensor:
        """Returns embeddings of unit length, [N, D].

        Args:
          state: holds the weights.
          x: one [N, ...], preprocessed.
          judged: whether rows that are not finite are zeroed already.
        """
        every = Rows.of(tf.ones([x[0].shape[0]]))
        return normalized(self.encoder.infer(state, x, every, judged)).z

    def remembered(self, state: Tensors, item: tf.Tensor) -> tf.Tensor:
        """Returns embeddings of items that are kept raw, [N, ...]."""
        x = self._joined([tf.cast(item, tf.float32)])
        return self.embedded(state, x, judged=True)

    def _joined(self, raw: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the network's input of one or two batches, one behind the other."""
        joined = raw[0] if len(raw) == 1 else tf.concat(raw, 0)
        return [self.network.features[0].preprocessing(joined)]


def mirrored(x: tf.Tensor) -> tf.Tensor:
    """Returns images [B, H, W, C] with left and right changed; windows [B, T, C] with
    the time reversed."""
    return tf.reverse(x, [2 if x.shape.rank == 4 else 1])
