"""A counter-based random generator in wrapping int32 arithmetic.

Builtin RANDOM_UNIFORM keeps its state out of reach of a checkpoint, so a resumed run
would differ. Here the state is one tensor [seed, counter], saved with the rest, and a
value is a hash of (seed, counter, salt, index): equal bit for bit in TensorFlow, in
LiteRT and in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tflite_odl.builtin.lazy import tf

# Odd constants of Weyl sequences, and of a two-round multiply-xorshift mixer.
INDEX, COUNTER, SEED, SALT = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F
ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))
BITS = 24


class Salts:
    """Numbers that tell the draws of one step apart: each name has its own.

    All draws of a method take theirs from one allocator, so that none repeats another.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """Returns the name's salt, the same each time it is asked for."""
        return self._known.setdefault(name, len(self._known))


def initial(seed: int) -> np.ndarray:
    """Returns the first state, [2] int32."""
    return np.array([int(seed) & 0x7FFFFFFF, 0], np.int32)


def advance(state: tf.Tensor) -> tf.Tensor:
    """Returns the state of the next step: the counter one further."""
    return state + tf.constant([0, 1], tf.int32)


def uniform(
    state: tf.Tensor,
    shape: Sequence[int],
    salt: int = 0,
    places: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns float32 of the given shape in [0, 1), multiples of 2**-24.

    Args:
      state: [2] int32.
      shape: fixed.
      salt: tells apart the draws of one step.
      places: [shape[0]] int32, which rows of a larger draw these are; else the first.
    """
    # INDEX i + SEED seed + COUNTER counter + SALT salt, in parts that broadcast: a
    # table of all i would be stored in the file, for each shape. Each part has what is
    # no constant, or the converter would add the constants up to that table.
    seed = state[:1] * _wrap(SEED) + _wrap(salt * SALT)
    if places is None:
        outer, inner = _split(shape)
        z = _steps(outer, inner)[:, np.newaxis] + seed
    else:
        outer, inner = _split(shape[1:])
        columns = (_steps(outer, inner) + seed)[:, tf.newaxis]
        rows = tf.reshape(places, [shape[0], 1, 1]) * _wrap(outer * inner * INDEX)
        z = rows + columns
    z = z + (_steps(inner, 1) + state[1:] * _wrap(COUNTER))
    for shift, factor in ROUNDS:
        z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, shift))
        z = z * _wrap(factor)
    fraction = tf.cast(tf.math.floormod(z, 1 << BITS), tf.float32) * 2.0**-BITS
    return tf.reshape(fraction, list(shape))


def _split(shape: Sequence[int]) -> tuple[int, int]:
    """Returns the entries of the first and of the last axes, split to the least sum."""
    splits = [
        (math.prod(shape[:k]), math.prod(shape[k:])) for k in range(len(shape) + 1)
    ]
    return min(splits, key=sum)


def _steps(count: int, size: int) -> np.ndarray:
    """Returns [count] int32: INDEX times 0, size, 2 size, ..."""
    return _wrap(np.arange(count, dtype=np.int64) * (size * INDEX))


def _wrap(value) -> np.ndarray:
    return np.asarray(value, np.int64).astype(np.uint32).view(np.int32)
