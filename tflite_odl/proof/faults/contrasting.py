"""Faults of `contrastive`: views, loss, scores, buffer, policies, enrolled items."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.methods.augmentation import View
from tflite_odl.methods.contrastive import (
    buffer,
    labels,
    policies,
    recognition,
    siamese,
)
from tflite_odl.methods.contrastive.replay import Replay
from tflite_odl.methods.contrastive.siamese import Siamese
from tflite_odl.proof.faults.fault import Fault, answer, given, instead

NET, FLIP = "contrast", "contrast-flip"
MIN_RED, RESERVOIR = "contrast-min-red", "contrast-reservoir"


def _fault(name: str, owner, attribute: str, change, net: str = NET) -> Fault:
    return Fault(name, net, owner, attribute, change)


def _other(found, **parts):
    return dataclasses.replace(found, **parts)


def _by(keys):
    """Returns what makes a policy go by other keys."""

    def wrong(candidates, capacity, uniform):
        return policies._best(candidates, keys(candidates), capacity)

    return answer(lambda found: wrong)


def _of_others(change):
    """Returns what gives a policy other candidates."""
    return answer(lambda found: lambda slots, *rest: found(change(slots), *rest))


FAULTS = (
    _fault(
        "both views are the same",
        View,
        "draw",
        given(lambda self, *rest: (_other(self, salts=(7, 8)), *rest)),
    ),
    _fault(
        "views repeat from step to step",
        View,
        "draw",
        given(lambda self, state, shape: (self, state * [1, 0], shape)),
    ),
    _fault(
        "a view is not augmented",
        View,
        "__call__",
        answer(lambda found, self, state, x: x),
    ),
    _fault(
        "drawn items that are not there count",
        buffer,
        "draw",
        answer(lambda found: _other(found, mask=tf.ones_like(found.mask))),
    ),
    _fault(
        "items are drawn from the first slots",
        buffer,
        "draw",
        given(lambda filled, uniform, count: (filled, uniform * 0.0, count)),
    ),
    _fault(
        "the gradient of the second view is lost",
        siamese,
        "nt_xent",
        answer(lambda found: _other(found, dz2=tf.zeros_like(found.dz2))),
    ),
    _fault(
        "the loss at another temperature",
        siamese,
        "nt_xent",
        given(lambda z1, z2, mask, tau: (z1, z2, mask, tau * 1.1)),
    ),
    _fault(
        "the gradient does not pass through the length",
        siamese.Normalized,
        "backward",
        instead(lambda self, dz: dz * self.inverse),
    ),
    _fault(
        "scores are similarities",
        Siamese,
        "_scored",
        answer(lambda found: _other(found, score=1.0 - found.score)),
    ),
    _fault(
        "drawn items keep their scores",
        buffer,
        "moved",
        answer(lambda found, old: old),
    ),
    _fault(
        "a drawn item's score is its new one",
        buffer,
        "moved",
        given(lambda old, fresh, drawn, rho: (old, fresh, drawn, 0.0)),
    ),
    _fault(
        "uses are not counted",
        buffer,
        "used",
        answer(lambda found, slots: slots),
    ),
    _fault(
        "new items come in unused",
        Replay,
        "_selected",
        lambda right: lambda *a, uses: right(*a, uses=0),
    ),
    _fault(
        "the lowest scores are kept",
        policies,
        "find",
        _by(lambda c: [-c.score, -c.uses, c.arrival]),
    ),
    _fault(
        "of equal scores the most used are kept",
        policies,
        "find",
        _by(lambda c: [c.score, c.uses, c.arrival]),
    ),
    _fault(
        "of equal scores and uses the oldest are kept",
        policies,
        "find",
        _by(lambda c: [c.score, -c.uses, -c.arrival]),
    ),
    _fault(
        "items are not numbered anew",
        Replay,
        "_selected",
        given(
            lambda self, state, *rest: (
                self,
                {**state, "arrived": tf.zeros([1], tf.int32)},
                *rest,
            )
        ),
    ),
    _fault(
        "bad rows come into the buffer",
        Siamese,
        "segment",
        answer(lambda found: _other(found, good=tf.ones_like(found.good))),
        MIN_RED,
    ),
    _fault(
        "the newer of the nearest leaves",
        policies,
        "find",
        _of_others(lambda slots: _other(slots, arrival=-slots.arrival)),
        MIN_RED,
    ),
    _fault(
        "all items are equally redundant",
        policies,
        "_distances",
        answer(lambda found: found * 0.0),
        MIN_RED,
    ),
    _fault(
        "a reservoir keeps the newest",
        policies,
        "find",
        answer(lambda found: policies.fifo),
        RESERVOIR,
    ),
    _fault(
        "a reservoir scores its items again",
        buffer,
        "taken",
        answer(lambda found: _other(found, score=found.score * 0.5)),
        RESERVOIR,
    ),
    _fault(
        "flipped scores are of the items themselves",
        siamese,
        "mirrored",
        answer(lambda found, x: x),
        FLIP,
    ),
    _fault(
        "flipped scores are never made anew",
        buffer,
        "rescored",
        answer(lambda found, slots: slots),
        FLIP,
    ),
    _fault(
        "an item that is enrolled takes the newest's place",
        labels,
        "_leaving",
        given(lambda label, arrival: (label, -arrival)),
    ),
    _fault(
        "an item that is enrolled takes the oldest's place, whatever its class",
        labels,
        "_alike",
        answer(lambda found: tf.ones_like(found)),
    ),
    _fault(
        "enrolled items keep stale embeddings",
        Siamese,
        "remembered",
        answer(lambda found, self, state: state[recognition.EMBEDDINGS] + 0.0),
    ),
    _fault(
        "a class is told by its nearest item",
        labels,
        "_means",
        answer(lambda found, known: known),
    ),
    _fault(
        "neighbours vote alike",
        labels,
        "_by_neighbours",
        given(lambda cosine, label, count: (cosine, label, 1)),
        FLIP,
    ),
    _fault(
        "embeddings are not of unit length",
        Siamese,
        "embedded",
        answer(lambda found: found * 1.01),
    ),
)
