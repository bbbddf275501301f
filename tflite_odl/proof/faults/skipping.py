"""Faults of `skip`: which rows are kept, and what is remembered of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tflite_odl.methods.skip import compaction, method, threshold
from tflite_odl.proof.faults.fault import Fault, answer, given, instead

Skip, Threshold = method.Skip, threshold.Threshold


def _wrong_bucket(record_of, gradient, kept, sizes, nothing):
    """The smallest bucket runs on the rows after those it should."""

    def of(rows, kept_rows):
        if rows is not None and rows.shape[0] == sizes[0]:
            rows = tf.math.floormod(rows + 1, kept.shape[0])
        return record_of(rows, kept_rows)

    return of, gradient, kept, sizes, nothing


def _always_due(self, state, batch, loss, learned, *others):
    due = tf.ones_like(learned.due)
    learned = dataclasses.replace(learned, due=due)
    return self, state, batch, loss, learned, *others


def _news(name: str, change):
    def wrong(found, self, state):
        news, metrics = found
        return {**news, name: change(news[name], state[name])}, metrics

    return answer(wrong)


FAULTS = (
    Fault(
        "the smallest bucket on other rows",
        "skip",
        compaction,
        "backward",
        given(_wrong_bucket),
    ),
    Fault(
        "all rows kept",
        "skip",
        Threshold,
        "keep",
        answer(lambda kept: tf.ones_like(kept)),
    ),
    Fault(
        "rows of the threshold's own interval kept",
        "skip",
        Threshold,
        "keep",
        instead(
            lambda self, state, scores: tf.cast(
                threshold.interval(scores.confidence, self.edges)
                <= state["threshold_interval"],
                tf.float32,
            )
        ),
    ),
    Fault(
        "a decision one step late",
        "skip",
        threshold.tf,
        "round",
        answer(lambda rounded: rounded + 1.0),
    ),
    Fault(
        "kappa left out",
        "skip",
        threshold,
        "relative_squared_error",
        given(lambda counts, gradients, kappa: (counts, gradients, 1.0)),
    ),
    Fault(
        "a threshold one interval off",
        "skip",
        threshold,
        "decide",
        answer(lambda found: (found[0] + 1, found[1])),
    ),
    Fault(
        "skipped rows not counted",
        "skip",
        Skip,
        "outcome",
        given(
            lambda self, state, batch, loss, learned, moved, news, metrics: (
                self,
                state,
                batch,
                loss,
                learned,
                moved,
                {**news, "skipped_total": state["skipped_total"] + 0},
                metrics,
            )
        ),
    ),
    Fault(
        "an update where nothing is kept", "skip", Skip, "outcome", given(_always_due)
    ),
    Fault(
        "kept rows of weight 1 for 1 / r",
        "skip-kept",
        Skip,
        "_weights",
        answer(lambda weights: tf.minimum(weights, 1.0)),
    ),
    Fault(
        "divided by the batch for the kept",
        "skip-kept",
        Skip,
        "_shares",
        instead(lambda self, weights, labelled: weights),
    ),
    Fault(
        "skipping from the first step on",
        "skip-kept",
        Skip,
        "_weights",
        given(
            lambda self, state, scores: (
                self,
                {**state, "step": state["step"] + np.int32(1)},
                scores,
            )
        ),
    ),
    Fault(
        "the head's gradients by half",
        "skip",
        method,
        "_head_gradients",
        answer(lambda sizes: sizes * 0.5),
    ),
    Fault(
        "a period's counts not cleared",
        "skip",
        Threshold,
        "follow",
        _news("confidence_counts", lambda new, old: tf.maximum(new, old)),
    ),
)
