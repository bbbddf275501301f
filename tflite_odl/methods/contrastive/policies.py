"""Which candidates are the next buffer: one function per policy.

Each takes the candidates, N slots of the buffer and then n new rows, and says which N
are kept. Unfilled candidates come last and by place, so that a slot stays empty only
by what stood in it before: a bad row never enters, not even unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from tflite_odl.builtin.products import matmul
from tflite_odl.errors import ModelError
from tflite_odl.methods.contrastive.buffer import Slots

# Larger than any cosine distance: a candidate that is out.
OUT = 4.0

Policy = Callable[[Slots, int, tf.Tensor], tf.Tensor]


def top_score(candidates: Slots, capacity: int, uniform: tf.Tensor) -> tf.Tensor:
    """Keeps the highest stored scores; of equal ones fewer uses, then newer.

    With scores of two flipped views this is the selection of Wu et al. (`flip_score`).

    Args:
      candidates: N + n slots.
      capacity: N.
      uniform: [N + n] float32, fresh each step.

    Returns:
      [N] int32, which candidates are kept, best first.

    References: Wu et al., 2021, doi 10.1109/DAC18074.2021.9586228.
    """
    keys = [candidates.score, -candidates.uses, candidates.arrival]
    return _best(candidates, keys, capacity)


def fifo(candidates: Slots, capacity: int, uniform: tf.Tensor) -> tf.Tensor:
    """Keeps the newest."""
    return _best(candidates, [candidates.arrival], capacity)


def reservoir(candidates: Slots, capacity: int, uniform: tf.Tensor) -> tf.Tensor:
    """Keeps a uniform sample of all items that ever came.

    An item's score is the uniform number that it drew when it came; it is never scored
    again. The N largest of t such numbers are a uniform sample of the t items.

    References: Vitter, 1985, doi 10.1145/3147.3165.
    """
    return _best(candidates, [candidates.score, candidates.arrival], capacity)


def random(candidates: Slots, capacity: int, uniform: tf.Tensor) -> tf.Tensor:
    """Keeps a uniform sample of buffer and new rows, drawn anew each step."""
    return _best(candidates, [uniform], capacity)


def min_red(candidates: Slots, capacity: int, uniform: tf.Tensor) -> tf.Tensor:
    """Minimum redundancy: the item nearest to another one leaves, until N are left.

    Nearness is the least 1 - cos of embeddings to any other candidate that is still
    in; of equally near ones the oldest leaves. Of two that are nearest to each other
    both are equally near.

    Returns:
      [N] int32, which candidates are kept, oldest first.

    References: Purushwalkam, Morgado, Gupta, 2022, arXiv:2203.12710.
    """
    size = len(candidates)
    # Oldest first, so that of equal ones ARG_MIN finds the oldest.
    order = tf.math.top_k(-candidates.arrival, size).indices
    filled = tf.gather(candidates.filled, order)
    distance = _distances(tf.gather(candidates.embedding, order), filled)
    # The places, which the converter does not know to be 0, 1, 2, ...: of a diagonal
    # that it knows it would write all K x K numbers into the file.
    places = -tf.math.top_k(-order, size).values
    distance += tf.one_hot(places, size, on_value=OUT)
    present = filled
    for _ in range(size - capacity):
        full = tf.reduce_sum(present, keepdims=True) > float(capacity)
        nearest = tf.reduce_min(distance + (1.0 - present) * OUT, 1)
        nearest = nearest * present + (1.0 - present) * (2.0 * OUT)
        leaves = tf.one_hot(tf.argmin(nearest, 0, tf.int32), size)
        present = present * (1.0 - leaves * tf.cast(full, tf.float32))
    kept = tf.reshape(tf.one_hot(order, size), [1, size, size])
    back = matmul(tf.reshape(present, [1, 1, size]), kept)
    return _first_filled(tf.reshape(back, [size]), candidates.arrival, capacity)


def _distances(embedding: tf.Tensor, filled: tf.Tensor) -> tf.Tensor:
    """Returns 1 - cos between all, [K, K] float32, that to itself too."""
    size = embedding.shape[0]
    square = tf.reduce_sum(embedding * embedding, 1, keepdims=True)
    unit = embedding * tf.math.rsqrt(square + 1e-12) * tf.reshape(filled, [size, 1])
    unit = tf.reshape(unit, [1, *unit.shape])
    cosine = tf.reshape(matmul(unit, unit, transpose_b=True), [size, size])
    # Equal to the bit both ways, whatever the order of a kernel's sums.
    cosine = tf.maximum(cosine, tf.transpose(cosine))
    return 1.0 - cosine


def _best(candidates: Slots, keys: Sequence[tf.Tensor], capacity: int) -> tf.Tensor:
    """Returns [capacity] int32: filled first, then by each key, the largest first."""
    return _sorted([candidates.filled, *keys], candidates.filled)[:capacity]


def _first_filled(present: tf.Tensor, arrival: tf.Tensor, capacity: int) -> tf.Tensor:
    return _sorted([present, -arrival], present)[:capacity]


def _sorted(keys: Sequence[tf.Tensor], filled: tf.Tensor) -> tf.Tensor:
    """Returns [K] int32: places by the first key, equal ones by the second, and so on.

    A stable sort by the last key first: TOPK leaves equal ones in their order. Where
    not filled, every key is 0.
    """
    size = filled.shape[0]
    order = tf.range(size)
    for key in reversed(keys):
        real = tf.where(filled > 0.0, key, tf.zeros_like(key))
        found = tf.math.top_k(tf.gather(real, order), size).indices
        order = tf.gather(order, found)
    return order


POLICIES: dict[str, Policy] = {
    "top_score": top_score,
    "flip_score": top_score,
    "fifo": fifo,
    "reservoir": reservoir,
    "random": random,
    "min_red": min_red,
}


def find(name: str) -> Policy:
    """Returns a policy by name; `none` has no buffer and hence none here."""
    if name not in POLICIES:
        raise ModelError(f"policy {name!r} is not one of {sorted(POLICIES)}")
    return POLICIES[name]
