"""Faults of penalties and of constraints."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin import constraints, penalties
from tflite_odl.builtin.lowering import Rows
from tflite_odl.builtin.penalties import Penalty
from tflite_odl.methods import network
from tflite_odl.proof.faults.fault import Fault, answer, given, instead


def _by_all_rows(penalty, x, rows):
    """The mean is over all rows of the batch, padding among them."""
    return penalty, x, Rows(rows.mask, tf.constant([float(x.shape[0])]))


def _halved(penalty, *rest):
    return dataclasses.replace(penalty, l2=penalty.l2 / 2), *rest


def _without_first(self, w):
    return dataclasses.replace(self, l1=0.0 if self.l2 else self.l1), w


FAULTS = (
    Fault(
        "a penalty on weights without gradient",
        "penalized",
        network.penalties,
        "steeper",
        instead(lambda gradients, penalties, weights: dict(gradients)),
    ),
    Fault(
        "a penalty on weights that the loss leaves out",
        "penalized",
        network.penalties,
        "of_weights",
        instead(lambda penalties, weights: []),
    ),
    Fault(
        "the slope of w^2 without its 2", "penalized", Penalty, "slope", given(_halved)
    ),
    Fault(
        "an l1 that has no slope", "penalized", Penalty, "slope", given(_without_first)
    ),
    Fault(
        "a penalty on an activation without gradient",
        "penalized",
        penalties,
        "activity_slope",
        answer(lambda found: found * 0.0),
    ),
    Fault(
        "an activation's penalty averaged over padding, too",
        "penalized",
        penalties,
        "of_activity",
        given(_by_all_rows),
    ),
    Fault(
        "its gradient averaged over padding, too",
        "penalized",
        penalties,
        "activity_slope",
        given(_by_all_rows),
    ),
    Fault(
        "a norm that is not kept to",
        "penalized",
        constraints.Norm,
        "__call__",
        instead(lambda self, w: w + 0.0),
    ),
    Fault(
        "a unit norm over all axes",
        "penalized",
        constraints.UnitNorm,
        "__call__",
        given(lambda self, w: (dataclasses.replace(self, axes=(0, 1)), w)),
    ),
    Fault(
        "negative weights by their size",
        "penalized",
        constraints.NonNegative,
        "__call__",
        instead(lambda self, w: tf.abs(w)),
    ),
)
