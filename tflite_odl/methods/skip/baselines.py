"""The policies that the method is compared with."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.methods.base import Tensors
from tflite_odl.methods.skip.config import SkipConfig
from tflite_odl.methods.skip.policy import Policy, Scores

# Names of draws.
KEEP, KEEP_SKIPPED = "skip/keep", "skip/keep_skipped"
# The smallest draw but zero, whose logarithm is finite.
SMALLEST_DRAW = 2.0**-24


@dataclasses.dataclass(frozen=True)
class Full(Policy):
    """Keeps every row: plain training."""

    config: SkipConfig

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        return tf.ones_like(scores.labelled)


@dataclasses.dataclass(frozen=True)
class Fixed(Policy):
    """Keeps rows whose confidence is below a threshold that never moves."""

    config: SkipConfig

    def hyperparameters(self) -> dict[str, float]:
        return {"fixed_threshold": self.config.fixed_threshold}

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        return tf.cast(scores.confidence < state["fixed_threshold"], tf.float32)


@dataclasses.dataclass(frozen=True)
class Random(Policy):
    """Skips each row with the same probability."""

    config: SkipConfig

    def hyperparameters(self) -> dict[str, float]:
        return {"skip_rate": self.config.skip_rate}

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        return tf.cast(scores.draw(KEEP) >= state["skip_rate"], tf.float32)


class Selective(Random):
    """Selective-Backprop: K rows without replacement, likelier the larger the loss.

    P_i ~ percentile_i^(1 / keep - 1) within the batch, K = round(keep * labelled), as
    MosaicML's Composer has it; drawn by the K largest ln(u_i) / P_i (Efraimidis and
    Spirakis, 2006).

    References: Jiang et al., 2019, arXiv:1910.00762.
    """

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        rows = tf.reduce_sum(scores.labelled, keepdims=True)
        share = 1.0 - state["skip_rate"]
        percentile = (rank(scores.losses, scores.labelled) + 0.5) / tf.maximum(rows, 1)
        likely = tf.pow(tf.minimum(percentile, 1.0), 1.0 / share - 1.0)
        draw = tf.math.log(tf.maximum(scores.draw(KEEP), SMALLEST_DRAW))
        place = rank(-draw / tf.maximum(likely, 1e-30), scores.labelled)
        return tf.cast(place < tf.floor(rows * share + 0.5), tf.float32)


class InfoBatch(Random):
    """Rows easier than the mean are skipped with probability r, else weigh 1 / (1 - r).

    The mean is the batch's: a stream has no rows that come again, whose scores could
    be kept.

    References: Qin et al., 2024, arXiv:2303.04947.
    """

    def keep(self, state: Tensors, scores: Scores) -> tf.Tensor:
        rows = tf.maximum(tf.reduce_sum(scores.labelled, keepdims=True), 1.0)
        total = tf.reduce_sum(scores.losses * scores.labelled, keepdims=True)
        easy = tf.cast(scores.losses < total / rows, tf.float32)
        rate = state["skip_rate"]
        kept = tf.cast(scores.draw(KEEP) >= rate, tf.float32)
        return (1.0 - easy) + easy * kept / (1.0 - rate)


def rank(values: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Returns [B] float32: how many counted rows have a smaller value, ties by order.

    Args:
      values: [B] float32.
      counted: [B] float32, 0 or 1.
    """
    size = values.shape[0]
    row, column = values[:, tf.newaxis], values[tf.newaxis]
    earlier = tf.range(size)[tf.newaxis] < tf.range(size)[:, tf.newaxis]
    tied = tf.logical_and(tf.equal(column, row), earlier)
    before = tf.logical_or(column < row, tied)
    return tf.reduce_sum(tf.cast(before, tf.float32) * counted[tf.newaxis], 1)


BASELINES = {
    "full": Full,
    "fixed": Fixed,
    "random": Random,
    "selective": Selective,
    "infobatch": InfoBatch,
}
