"""The zeros that padding is made of.

A constant block of zeros per shape would be stored in the file, once for each size and
growing with the batch. So a run brings one zero scalar that the converter cannot fold,
and blocks are broadcast from it when the step runs, once for each shape.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

# A block of up to so many entries is cheaper stored than computed.
SMALL = 64

_source: contextvars.ContextVar = contextvars.ContextVar("zeros", default=None)


@contextlib.contextmanager
def zeros_from(scalar: tf.Tensor, made: dict) -> Iterator[None]:
    """Within the context, large blocks come from `scalar`, [1] float32, which is 0.

    Args:
      scalar: not a constant of the graph.
      made: the blocks made so far, shared by the contexts of one trace.
    """
    token = _source.set((scalar, made))
    try:
        yield
    finally:
        _source.reset(token)


def zero_of(tensor: tf.Tensor) -> tf.Tensor:
    """Returns [1] float32: 0 that is there only once the tensor is.

    What backward computes of forward's values alone, the converter would merge with
    forward or move up to it, where its result takes memory all the way.
    """
    entry = tf.slice(tensor, [0] * tensor.shape.rank, [1] * tensor.shape.rank)
    return tf.minimum(tf.abs(tf.reshape(entry, [1])), 0.0)


def zeros(shape: Sequence[int]) -> tf.Tensor:
    """Returns float32 zeros of a fixed shape."""
    shape, source = tuple(shape), _source.get()
    if source is None or math.prod(shape) <= SMALL:
        return _constant(shape)
    scalar, made = source
    if shape not in made:
        made[shape] = _broadcast(scalar, shape)
    return made[shape]


def _broadcast(scalar: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Returns the scalar in a shape, by small constants: batch, middle, channels.

    A sum of two constants would be folded into one, hence the product between.
    """
    batch, middle, channels = (shape[0],), shape[1:-1], shape[-1:]
    ones = [1] * len(middle)
    block = scalar + _constant((*batch, *ones, 1))
    if any(size > 1 for size in middle):
        block = block * tf.constant(np.ones((1, *middle, 1), np.float32))
    return block + _constant((1, *ones, *channels))


def _constant(shape: tuple[int, ...]) -> tf.Tensor:
    return tf.constant(np.zeros(shape, np.float32))
