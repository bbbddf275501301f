"""What a policy of `skip` sees of a batch, and what it must say."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin import random
from tflite_odl.methods.base import StateTensor, Tensors


@dataclasses.dataclass(frozen=True)
class Scores:
    """A batch after its forward pass.

    Attributes:
      labelled: [B] float32, 1 for rows with a label.
      confidence: [B] float32.
      losses: [B] float32, each row's own loss.
      random: [2] int32, the generator's state.
      salts: of the method's draws.
      gradients: [B] float32, mean |dL_i / dW| of the rows that were measured.
      measured: [B] float32, 1 for these.
    """

    labelled: tf.Tensor
    confidence: tf.Tensor
    losses: tf.Tensor
    random: tf.Tensor
    salts: random.Salts
    gradients: tf.Tensor | None = None
    measured: tf.Tensor | None = None

    def draw(self, name: str) -> tf.Tensor:
        """Returns [B] uniform in [0, 1), for each name another."""
        return random.uniform(self.random, self.labelled.shape, self.salts(name))


class Policy:
    """Which rows are kept, and what is remembered of those that came."""

    probes = False

    def hyperparameters(self) -> dict[str, float]:
        """Returns what `configure` can change, by name."""
        return {}

    def state_tensors(self) -> list[StateTensor]:
        return []

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        """Returns [B] float32: a row's weight in the gradient, 0 where skipped.

        What it says of rows without a label does not count.
        """
        raise NotImplementedError(type(self).__name__)

    def follow(self, state: Tensors, scores: Scores) -> tuple[dict, dict]:
        """Returns (new state, metrics) after a batch."""
        return {}, {}
