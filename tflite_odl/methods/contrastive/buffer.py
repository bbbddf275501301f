"""The buffer of stream items as a pure function of tensors: slots in, slots out.

Every shape is fixed: a slot is filled or not, a row of a segment is good or not.
Items are moved, never computed with, so they may be uint8.
"""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from tflite_odl.errors import ModelError


@dataclasses.dataclass(frozen=True)
class Slots:
    """Items with what is remembered of them; N slots of a buffer, or n rows that came.

    What stands in a slot that is not filled means nothing.

    Attributes:
      item: [N, ...] uint8 or float32.
      score: [N] float32, stored.
      arrival: [N] int32, the item's number in the stream: newer = larger.
      uses: [N] int32, how often the item was in a mini-batch.
      filled: [N] float32, 1 or 0.
      embedding: [N, D] float32, of the policies that keep one.
    """

    item: tf.Tensor
    score: tf.Tensor
    arrival: tf.Tensor
    uses: tf.Tensor
    filled: tf.Tensor
    embedding: tf.Tensor | None = None

    def __len__(self) -> int:
        return self.filled.shape[0]

    def map(self, function, *others: Slots) -> Slots:
        """Returns slots whose every tensor is the function of those of these slots."""
        parts = {}
        for field in dataclasses.fields(self):
            tensors = [getattr(slots, field.name) for slots in (self, *others)]
            missing = [tensor is None for tensor in tensors]
            if any(missing) != all(missing):
                raise ModelError(f"some of the slots have {field.name}, others do not")
            parts[field.name] = None if missing[0] else function(*tensors)
        return Slots(**parts)


def joined(buffer: Slots, new: Slots) -> Slots:
    """Returns the candidates: the buffer's N slots, then the n new rows."""
    return buffer.map(lambda first, second: tf.concat([first, second], 0), new)


def taken(slots: Slots, places: tf.Tensor) -> Slots:
    """Returns the slots at some places, [K] int32."""
    return slots.map(lambda tensor: tf.gather(tensor, places))


@dataclasses.dataclass(frozen=True)
class Draw:
    """Slots drawn for a mini-batch.

    Attributes:
      places: [r] int32, each slot at most once.
      mask: [r] float32, 0 where there was no filled slot left.
    """

    places: tf.Tensor
    mask: tf.Tensor

    def __len__(self) -> int:
        return self.mask.shape[0]

    def scattered(self, values: tf.Tensor, size: int) -> tf.Tensor:
        """Returns [size, ...]: the value of each place that was drawn, else 0."""
        hits = tf.one_hot(self.places, size) * tf.reshape(self.mask, [len(self), 1])
        flat = tf.reshape(values, [values.shape[0], math.prod(values.shape[1:])])
        product = tf.raw_ops.BatchMatMulV2(x=hits[None], y=flat[None], adj_x=True)
        return tf.reshape(product, [size, *values.shape[1:]])

    def hits(self, size: int) -> tf.Tensor:
        """Returns [size] float32: 1 for the slots that were drawn."""
        return self.scattered(tf.ones_like(self.mask), size)


def draw(filled: tf.Tensor, uniform: tf.Tensor, count: int) -> Draw:
    """Returns `count` filled slots, uniformly and without replacement.

    Args:
      filled: [N] float32.
      uniform: [N] float32 in [0, 1); the largest are drawn, equal ones by place.
      count: r, at most N.
    """
    return _largest(uniform, filled, count)


def draw_by_score(
    score: tf.Tensor, filled: tf.Tensor, uniform: tf.Tensor, count: int
) -> Draw:
    """Returns `count` filled slots without replacement, likelier the higher the score.

    The first is drawn with probability score / sum of scores, and so on: the largest
    of ln(u) / score.

    References: Efraimidis and Spirakis, 2006, doi 10.1016/j.ipl.2005.11.003.
    """
    logarithm = tf.math.log(tf.maximum(uniform, 2.0**-25))
    return _largest(logarithm / tf.maximum(score, 1e-6), filled, count)


def _largest(key: tf.Tensor, filled: tf.Tensor, count: int) -> Draw:
    if not 0 < count <= key.shape[0]:
        raise ModelError(f"{count} items cannot be drawn from {key.shape[0]} slots")
    # Two keys, the lesser first: TOPK leaves equal ones in their order.
    order = tf.math.top_k(key, key.shape[0]).indices
    first = tf.math.top_k(tf.gather(filled, order), count).indices
    places = tf.gather(order, first)
    return Draw(places, tf.gather(filled, places))


def used(buffer: Slots, drawn: Draw) -> Slots:
    """Returns the buffer with one more use of each slot that was drawn."""
    hits = tf.cast(drawn.hits(len(buffer)), tf.int32)
    return dataclasses.replace(buffer, uses=buffer.uses + hits)


def moved(old: tf.Tensor, fresh: tf.Tensor, drawn: Draw, rho: float) -> tf.Tensor:
    """Returns rho old + (1 - rho) fresh in the slots that were drawn, else old.

    Args:
      old: [N] or [N, D] float32, of the slots.
      fresh: [r] or [r, D] float32, finite, of those drawn.
      rho: share of the old, 0 to 1.
    """
    size = old.shape[0]
    hits = tf.reshape(drawn.hits(size), [size] + [1] * (old.shape.rank - 1))
    return old * (1.0 - hits * (1.0 - rho)) + drawn.scattered(fresh, size) * (1.0 - rho)


def rescored(buffer: Slots, fresh: tf.Tensor, due: tf.Tensor) -> Slots:
    """Returns the buffer with new scores of its filled slots, where they are due.

    Args:
      fresh: [N] float32, finite.
      due: [1] float32, 1 or 0: lazy scoring renews them every T steps.
    """
    renew = due * buffer.filled
    score = buffer.score * (1.0 - renew) + fresh * renew
    return dataclasses.replace(buffer, score=score)


def replaced(kept: tf.Tensor, filled: tf.Tensor) -> tf.Tensor:
    """Returns [1] int32: how many new rows took a slot.

    Args:
      kept: [N] int32, the candidates that are the next buffer.
      filled: [N] float32, of the next buffer.
    """
    new = tf.cast(kept >= kept.shape[0], tf.float32) * filled
    return tf.cast(tf.reduce_sum(new, keepdims=True), tf.int32)
