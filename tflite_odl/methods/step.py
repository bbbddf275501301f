"""A training step as a whole: taken, counters advanced, or rejected."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import random, rows
from tflite_odl.methods.base import Change, Outcome, StateTensor, Tensors

LARGEST_COUNT = 2**31 - 1


def counters(seed: int, step: int = 0) -> list[StateTensor]:
    """Returns the state that every method has: `step`, which counts on from a number of
    steps done before, and `random`."""
    of = StateTensor.of
    return [
        of("step", np.int32(step), "counter", "training steps that changed the state"),
        of("random", random.initial(seed), "random", "seed, counter"),
    ]


def saturating(count: tf.Tensor, more: tf.Tensor | int) -> tf.Tensor:
    """Returns the sum of two int32 counts, 2^31 - 1 where it would be more."""
    return tf.minimum(count, LARGEST_COUNT - more) + more


def settle(
    state: Tensors,
    outputs: dict[str, tf.Tensor],
    changes: Sequence[Change],
    acceptable: tf.Tensor,
) -> Outcome:
    """Returns a training step that is accepted only if it leaves a finite state.

    Args:
      state: before the step.
      outputs: of the method; `step` and `accepted` are added.
      changes: of the state; `step` and `random` are added to the first one.
      acceptable: [1] bool, whether the method would take the step.
    """
    accepted = tf.logical_and(acceptable, stays_finite(changes))
    advanced = {
        "step": saturating(state["step"], 1),
        "random": random.advance(state["random"]),
    }
    first, *others = changes
    first = dataclasses.replace(first, news={**first.news, **advanced})
    taken = tf.cast(accepted, tf.int32)
    outputs = {**outputs, "step": saturating(state["step"], taken), "accepted": taken}
    return Outcome(outputs, [first, *others], accepted)


def stays_finite(changes: Sequence[Change]) -> tf.Tensor:
    """Returns [1] bool: whether all float values that will be assigned are finite.

    Their sum tells, for NaN or infinity never leaves it finite. Values far too large
    for any use may overflow it, too.
    """
    fine = tf.constant([True])
    for change in changes:
        floats = [v for v in change.news.values() if v.dtype == tf.float32]
        if not floats:
            continue
        total = tf.add_n([tf.reduce_sum(value) for value in floats])
        finite = rows.finite(tf.reshape(total, [1]))
        if change.when is not None:
            finite = tf.logical_or(finite, tf.logical_not(change.when))
        fine = tf.logical_and(fine, finite)
    return fine
