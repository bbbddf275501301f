"""Faults between a gradient and the new state: optimizers, schedules, groups."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tflite_odl.builtin import optimizers
from tflite_odl.builtin.optimizers import adam, momentum, rmsprop
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.methods import learner, supervised
from tflite_odl.methods.supervised import Supervised
from tflite_odl.proof.faults.fault import Fault, answer, given, instead
from tflite_odl.signatures import TrainableModule

Adam = adam.Adam


def _slot(place: int, factor: float):
    """Returns the change of a step that writes one slot wrong."""

    def change(news, self, weight, gradient, slots):
        news = list(news)
        before = slots[place - 1]
        news[place] = before + (news[place] - before) * factor
        return news

    return answer(change)


def _hyper(name: str, factor: float):
    """Returns the change of a step that takes one hyper-parameter wrong."""

    def change(self, weight, gradient, slots, state, shared):
        other = {**state, name: state[name] * factor}
        return self, weight, gradient, slots, other, shared

    return given(change)


def _slower_decay(self, weight, state):
    return self, weight, {**state, "weight_decay": state["weight_decay"] * 0.5}


def _swapped(self, weight, gradient, slots, state, shared):
    other = {**state, "beta_1": state["beta_2"], "beta_2": state["beta_1"]}
    return self, weight, gradient, slots, other, shared


def _plain(self, weight, gradient, slots, state, shared):
    return momentum.Momentum.step(self, weight, gradient, slots, state, shared)


def _epsilon_outside(self, weight, gradient, slots, state, shared):
    v = slots[0] * state["rho"] + gradient * gradient * (1.0 - state["rho"])
    return [weight - shared * gradient / (tf.sqrt(v) + state["epsilon"]), v]


def _gathered(**changes):
    def change(group):
        found = {n: f(getattr(group, n)) for n, f in changes.items()}
        return dataclasses.replace(group, **found)

    return answer(change)


def _never_cleared(right):
    def gather(gradients, state, step, batches):
        return right(gradients, state, tf.maximum(step, 1) * 0 + 1, batches)

    return gather


def _one_later(step_at: int):
    """Returns the change of a call whose step counter is one too large."""

    def change(*arguments):
        wrong = list(arguments)
        wrong[step_at] = wrong[step_at] + 1
        return tuple(wrong)

    return given(change)


def _always(outcome):
    accepted = tf.maximum(outcome.outputs["accepted"], 1)
    return dataclasses.replace(
        outcome, outputs={**outcome.outputs, "accepted": accepted}
    )


def _standing(outcome, self, state):
    """The counter of steps is written as it was."""
    first = outcome.changes[0]
    news = {**first.news, "step": state["step"] + 0}
    changes = [dataclasses.replace(first, news=news), *outcome.changes[1:]]
    return dataclasses.replace(outcome, changes=changes)


def _half_restored(self, inputs):
    slot = "hidden_kernel_momentum"
    return self, {**inputs, slot: inputs[slot] * 0.5}


FAULTS = (
    Fault("Adam's second moment never written", "adam", Adam, "step", _slot(2, 0)),
    Fault("Adam's second moment tripled", "adam", Adam, "step", _slot(2, 3)),
    Fault("Adam's first moment 1 % off", "adam", Adam, "step", _slot(1, 1.01)),
    Fault(
        "Adam's epsilon ten times as large", "adam", Adam, "step", _hyper("epsilon", 10)
    ),
    Fault("Adam's decays swapped", "adam", Adam, "step", given(_swapped)),
    Fault("Adam's correction one step late", "adam", Adam, "shared", _one_later(2)),
    Fault(
        "weight decay by half",
        "weights",
        adam.AdamW,
        "_decayed",
        given(_slower_decay),
    ),
    Fault(
        "a momentum never written", "momentum", momentum.Momentum, "step", _slot(1, 0)
    ),
    Fault(
        "a momentum by .99 of its decay",
        "momentum",
        momentum.Momentum,
        "step",
        _hyper("momentum", 0.99),
    ),
    Fault(
        "Nesterov's as plain momentum",
        "group",
        momentum.Nesterov,
        "step",
        instead(_plain),
    ),
    Fault(
        "RMSprop's epsilon outside of the root",
        "rmsprop",
        rmsprop.RMSprop,
        "step",
        instead(_epsilon_outside),
    ),
    Fault(
        "a mean square never written", "rmsprop", rmsprop.RMSprop, "step", _slot(1, 0)
    ),
    Fault(
        "no clipping",
        "clip",
        learner.optimizers,
        "clip",
        instead(lambda gradients, norm, largest: dict(gradients)),
    ),
    Fault(
        "clipping by a norm 1 % off",
        "clip",
        learner.optimizers,
        "clip",
        given(lambda gradients, norm, largest: (gradients, norm * 1.01, largest)),
    ),
    Fault(
        "an update one batch early",
        "group",
        learner.optimizers,
        "gather",
        _one_later(2),
    ),
    Fault(
        "an update that is never due",
        "group",
        optimizers.gradients,
        "Gathered",
        _gathered(due=tf.logical_not),
    ),
    Fault(
        "sums that are never cleared",
        "group",
        learner.optimizers,
        "gather",
        _never_cleared,
    ),
    Fault(
        "the sum of a group for its mean",
        "group",
        learner.optimizers,
        "gather",
        _gathered(mean=lambda mean: {n: g * 3.0 for n, g in mean.items()}),
    ),
    Fault("a schedule one update late", "group", Schedule, "rate", _one_later(2)),
    Fault(
        "a rate that is the exporter's own",
        "dense",
        Schedule,
        "rate",
        instead(lambda self, state, step: state["learning_rate"] * 0.0 + 0.1),
    ),
    Fault(
        "a step that is not counted", "dense", Supervised, "outcome", answer(_standing)
    ),
    Fault(
        "a random state that stands still",
        "noise",
        supervised.random,
        "advance",
        instead(lambda state: state + 0),
    ),
    Fault(
        "a slot restored by half",
        "momentum",
        TrainableModule,
        "_restore",
        given(_half_restored),
    ),
    Fault(
        "a rejected step that says it was accepted",
        "dense",
        Supervised,
        "outcome",
        answer(_always),
    ),
    Fault(
        "configure that changes nothing",
        "dense",
        TrainableModule,
        "_configure",
        instead(
            lambda self, inputs: {
                name: self.state[name].read_value() + 0.0 * value
                for name, value in inputs.items()
            }
        ),
    ),
)
