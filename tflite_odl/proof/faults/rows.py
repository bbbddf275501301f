"""Faults in which rows count."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin import rows
from tflite_odl.builtin.losses import cross_entropy
from tflite_odl.builtin.lowering import Rows
from tflite_odl.methods.supervised import Supervised
from tflite_odl.proof.faults.fault import Fault, answer, given

Sparse = cross_entropy.SparseCrossEntropy


def _read(**changes):
    """Returns the change of what labels are read as."""

    def change(labels):
        found = {name: f(labels) for name, f in changes.items()}
        return dataclasses.replace(labels, **found)

    return answer(change)


def _checked(**changes):
    """Returns the change of a checked batch."""

    def change(checked):
        found = {name: f(checked) for name, f in changes.items()}
        return dataclasses.replace(checked, **found)

    return answer(change)


def _by_good_rows(checked):
    good = tf.maximum(tf.reduce_sum(checked.good, keepdims=True), 1.0)
    labelled = tf.maximum(tf.reduce_sum(checked.labelled, keepdims=True), 1.0)
    return checked.share * labelled / good


def _all_labelled(self, z, y, labelled):
    return self, z, y, tf.maximum(labelled, 1.0)


FAULTS = (
    Fault(
        "padding that counts",
        "image",
        rows,
        "counted",
        given(lambda x, count, limits: (x, count * 0 + 1000, limits)),
    ),
    Fault(
        "unlabelled rows in the mean",
        "dense",
        rows,
        "labelled",
        _checked(share=_by_good_rows),
    ),
    Fault(
        "a bad label taken as class 0",
        "dense",
        Sparse,
        "read",
        _read(
            valid=lambda labels: tf.ones_like(labels.valid),
            y=lambda labels: tf.where(labels.valid, labels.y, 0),
        ),
    ),
    Fault(
        "a row that is not a number counts",
        "image",
        rows,
        "within",
        answer(lambda within: tf.ones_like(within)),
    ),
    Fault(
        "a row far beyond the limit counts",
        "image",
        rows,
        "within",
        given(lambda x, low, high: (x, -1e18, 1e18)),
    ),
    Fault(
        "rejected rows counted twice",
        "dense",
        rows,
        "labelled",
        _checked(rejected=lambda checked: checked.rejected * 2),
    ),
    Fault(
        "sample weights left out",
        "weights",
        rows,
        "labelled",
        _checked(
            share=lambda checked: (
                checked.labelled
                / tf.maximum(tf.reduce_sum(checked.labelled, keepdims=True), 1.0)
            )
        ),
    ),
    Fault(
        "bad rows in batch statistics",
        "image",
        Rows,
        "of",
        given(lambda mask: (tf.ones_like(mask),)),
    ),
    Fault(
        "a step by batch statistics of one value",
        "distill",
        Supervised,
        "enough",
        answer(lambda enough: tf.ones_like(enough)),
    ),
    Fault(
        "unlabelled rows in evaluate",
        "dense",
        Sparse,
        "metrics",
        given(_all_labelled),
    ),
    Fault(
        "hits of the runner-up",
        "dense",
        Sparse,
        "metrics",
        given(lambda self, z, y, labelled: (self, -z, y, labelled)),
    ),
)
