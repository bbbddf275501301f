"""Faults of `distill`: quantizers, the temperature, what the teacher says."""

from __future__ import annotations

import tensorflow as tf

from tflite_odl.builtin.lowering import Gradients
from tflite_odl.builtin.quantizers import activations, clipping, levels
from tflite_odl.methods.distill import gap, losses, temperature
from tflite_odl.proof.faults.fault import Fault, answer, given, instead

NET = "distill"


def _fault(name: str, owner, attribute: str, change) -> Fault:
    return Fault(name, NET, owner, attribute, change)


def _news(name: str, change):
    """Returns what changes one number that the controller remembers."""

    def wrong(found, config, state):
        found.news[name] = change(found.news[name], state[name])
        return found

    return answer(wrong)


def _in_turn(found: tf.Tensor) -> tf.Tensor:
    return tf.logical_not(found)


FAULTS = (
    _fault(
        "binary weights without their scale in backward",
        levels,
        "binary",
        answer(lambda found: (found[0], None)),
    ),
    _fault(
        "binary weights with the scale of all channels",
        levels,
        "binary",
        answer(lambda found: (tf.sign(found[0]) * tf.reduce_mean(found[1]), found[1])),
    ),
    _fault(
        "weights beyond their bound learn",
        clipping,
        "backward",
        answer(lambda found, g: (g, found[1])),
    ),
    _fault(
        "bounds move the other way",
        clipping,
        "backward",
        answer(lambda found: (found[0], -found[1])),
    ),
    _fault(
        "weights are not clipped",
        clipping,
        "forward",
        answer(lambda found, w: w),
    ),
    _fault(
        "signs pass gradients everywhere",
        activations.Sign,
        "backward",
        instead(lambda self, site, residual, gradient: Gradients([gradient])),
    ),
    _fault(
        "soft targets without T squared",
        losses,
        "_soft",
        answer(lambda found, s, t, degrees: (found[0], found[1] / degrees)),
    ),
    _fault(
        "soft targets the other way round",
        losses,
        "_soft",
        given(lambda student, teacher, degrees: (teacher, student, degrees)),
    ),
    _fault(
        "hard targets of the least likely class",
        losses,
        "_chosen",
        given(lambda z: (-z,)),
    ),
    _fault(
        "the entropy term pushes away",
        losses,
        "_entropy",
        answer(lambda found: (found[0], -found[1])),
    ),
    _fault(
        "the teacher does not hear the student",
        losses,
        "of_teacher",
        given(lambda *arguments: (*arguments[:-1], 0.0)),
    ),
    _fault(
        "the teacher never pauses",
        gap,
        "pauses",
        answer(lambda found: tf.zeros_like(found)),
    ),
    _fault("the teacher pauses when it should learn", gap, "pauses", answer(_in_turn)),
    _fault(
        "the entropies' means are those of the batch",
        temperature,
        "follow",
        given(
            lambda config, state, *entropies: (
                config,
                {**state, "entropy_steps": tf.zeros([1])},
                *entropies,
            )
        ),
    ),
    _fault(
        "teacher and student change places in the controller",
        temperature,
        "follow",
        given(
            lambda config, state, teacher, student: (config, state, student, teacher)
        ),
    ),
    _fault(
        "the peak is not remembered",
        temperature,
        "follow",
        _news("distance_peak", lambda new, old: old),
    ),
    _fault(
        "the peak is never past",
        temperature,
        "follow",
        _news("peaked", lambda new, old: old),
    ),
    _fault(
        "steps below the peak are not counted anew",
        temperature,
        "follow",
        _news("steps_below_peak", lambda new, old: old + 1.0),
    ),
)
