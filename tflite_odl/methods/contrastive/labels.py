"""Few labelled items, kept raw, and the classes that they tell others by.

Every shape is fixed: E slots, of which those with a label of 0 or more are taken.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.products import matmul
from tflite_odl.contract import UNLABELLED

# Smaller than any cosine: of a slot that is empty.
OUT = -4.0
# More than any count of slots: an empty slot is taken before the fullest class's.
EMPTY = 1e6
LAST = np.int32(2**31 - 1)


@dataclasses.dataclass(frozen=True)
class Enrolled:
    """E slots of labelled items.

    Attributes:
      item: [E, ...] uint8 or float32, as the sensor gives it.
      label: [E] int32, -1 where the slot is empty.
      arrival: [E] int32, newer = larger; -1 where the slot is empty.
    """

    item: tf.Tensor
    label: tf.Tensor
    arrival: tf.Tensor

    def count(self) -> tf.Tensor:
        """Returns [1] int32: slots that are taken."""
        taken = tf.cast(self.label >= 0, tf.int32)
        return tf.reduce_sum(taken, keepdims=True)


def enrolled(
    old: Enrolled, item: tf.Tensor, label: tf.Tensor, valid: tf.Tensor
) -> Enrolled:
    """Returns the slots with new items, one after the other.

    An item takes an empty slot, else that of the oldest item of the fullest class, of
    equally full ones the oldest of them all.

    Args:
      item: [n, ...].
      label: [n] int32, 0 or more where valid.
      valid: [n] bool.
    """
    size, count = old.label.shape[0], label.shape[0]
    source, labels, arrivals = tf.range(size), old.label, old.arrival
    newest = tf.reduce_max(arrivals, keepdims=True)
    for row in range(count):
        chosen = _leaving(labels, arrivals)
        chosen = tf.logical_and(chosen, valid[row : row + 1])
        newest = newest + tf.cast(valid[row : row + 1], tf.int32)
        source = tf.where(chosen, size + row, source)
        labels = tf.where(chosen, label[row : row + 1], labels)
        arrivals = tf.where(chosen, newest, arrivals)
    items = tf.gather(tf.concat([old.item, item], 0), source)
    return Enrolled(items, labels, arrivals)


def _leaving(label: tf.Tensor, arrival: tf.Tensor) -> tf.Tensor:
    """Returns [E] bool: the one slot that the next item takes."""
    alike = _alike(label)
    fullness = tf.reduce_sum(alike, 1) + tf.cast(label < 0, tf.float32) * EMPTY
    fullest = fullness >= tf.reduce_max(fullness, keepdims=True)
    age = tf.where(fullest, arrival, LAST)
    size = label.shape[0]
    return tf.equal(tf.range(size), tf.reshape(tf.argmin(age, 0, tf.int32), [1]))


def _alike(label: tf.Tensor) -> tf.Tensor:
    """Returns [E, E] float32: 1 where two slots have the same label."""
    size = label.shape[0]
    pairs = tf.equal(tf.reshape(label, [size, 1]), tf.reshape(label, [1, size]))
    return tf.cast(pairs, tf.float32)


@dataclasses.dataclass(frozen=True)
class Told:
    """What rows are told to be.

    Attributes:
      label: [N] int32, -1 where nothing is enrolled.
      similarity: [N] float32, the cosine to the class, 0 where nothing is enrolled.
    """

    label: tf.Tensor
    similarity: tf.Tensor


def classified(
    embedding: tf.Tensor, known: tf.Tensor, label: tf.Tensor, neighbours: int
) -> Told:
    """Returns the classes of rows.

    Args:
      embedding: [N, D] float32, of unit length.
      known: [E, D] float32, of unit length, of the enrolled items.
      label: [E] int32, of these.
      neighbours: 0 takes the class whose mean is nearest; else so many nearest items
        vote, and of classes with equally many votes that with the largest sum of
        cosines wins.
    """
    taken = tf.cast(label >= 0, tf.float32)
    if neighbours:
        found = _by_neighbours(_cosines(embedding, known, taken), label, neighbours)
    else:
        cosine = _cosines(embedding, _means(known, label, taken), taken)
        best = tf.argmax(cosine, 1, tf.int32)
        found = Told(tf.gather(label, best), tf.reduce_max(cosine, 1))
    some = tf.reduce_max(taken, keepdims=True) > 0.0
    return Told(
        tf.where(some, found.label, UNLABELLED), tf.where(some, found.similarity, 0.0)
    )


def _cosines(rows: tf.Tensor, known: tf.Tensor, taken: tf.Tensor) -> tf.Tensor:
    """Returns [N, E]: cosines, `OUT` for empty slots."""
    product = matmul(rows[tf.newaxis], known[tf.newaxis], transpose_b=True)
    return tf.reshape(product, product.shape[1:]) * taken + (1.0 - taken) * OUT


def _means(known: tf.Tensor, label: tf.Tensor, taken: tf.Tensor) -> tf.Tensor:
    """Returns [E, D]: of each slot, the direction of its class's mean."""
    alike = _alike(label) * tf.reshape(taken, [1, -1])
    total = matmul(alike[tf.newaxis], known[tf.newaxis])
    total = tf.reshape(total, known.shape)
    square = tf.reduce_sum(total * total, 1, keepdims=True)
    return total * tf.math.rsqrt(square + 1e-12)


def _by_neighbours(cosine: tf.Tensor, label: tf.Tensor, count: int) -> Told:
    near = tf.math.top_k(cosine, count)
    rows = near.values.shape[0]
    label = tf.gather(label, near.indices)
    # Cosines lie within -+1: all of them together weigh less than one vote.
    weight = (1.0 + near.values / (4.0 * count)) * tf.cast(label >= 0, tf.float32)
    alike = tf.equal(
        tf.reshape(label, [rows, count, 1]), tf.reshape(label, [rows, 1, count])
    )
    votes = tf.cast(alike, tf.float32) * tf.reshape(weight, [rows, 1, count])
    best = tf.one_hot(tf.argmax(tf.reduce_sum(votes, 2), 1, tf.int32), count)
    # The first of its class is the nearest of it.
    chosen = tf.reduce_sum(tf.cast(best, tf.int32) * label, 1)
    return Told(chosen, tf.reduce_sum(best * near.values, 1))
