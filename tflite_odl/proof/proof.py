"""What a method hands out so that its artifact can be proven: the interface.

The exporter and the gate know no method by name. A method says how its signatures are
computed once more without the graph (`Reference`), on which batches and from which
states that is compared (`Trial`), and which calls must be rejected (`Rejected`).
Methods without labels, of several networks, or with signatures of their own need
nothing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_odl import contract

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

# What a batch is filled with: real rows only; some padding behind them; some bad rows.
FULL, PADDED, SPOILED = "full", "padded", "spoiled"
FILLINGS = (FULL, PADDED, SPOILED)


def _nothing(state: Arrays) -> Arrays:
    return {}


@dataclasses.dataclass(frozen=True)
class Trial:
    """Calls of one or more signatures, each from the same state, that are compared.

    Attributes:
      filling: what the batch is filled with, one of `FILLINGS`.
      signatures: called one after the other, each from the trial's own state. The last
        one's new state is where the next trial begins.
      labelled: so many leading rows keep their label; None for all. Methods without
        labels make nothing of it.
      spoil: of a spoiled batch too small for every kind of bad row, which part of them.
      changes: state -> tensors of it to set before the calls.
      calm: whether the state keeps activations off their kinks, so that float32 is
        nearly exact: the artifact is then held to `limits.CALM`.
      carried: whether the next trial begins from the state this one makes.
      spare: whether it is run only if some tensor was not moved by more than its
        rounding in any trial before.
    """

    filling: str = FULL
    signatures: tuple[str, ...] = (contract.INFER, contract.EVALUATE, contract.TRAIN)
    labelled: int | None = None
    spoil: int = 0
    changes: Callable[[Arrays], Arrays] = _nothing
    calm: bool = False
    carried: bool = True
    spare: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a reference says one call must return and leave behind.

    Attributes:
      outputs: {output name: value}, every output of the signature.
      state: {name: value}, the whole new state.
      margins: how far each discrete choice was from going the other way.
      gradients: {state tensor: gradient its new value was made from}, of weights and of
        their slots. An update is noise only where its gradient is.
      slack: {output name: how far it may be off beside rounding}, for counts that hang
        on choices between nearly equal values.
      ulps: {state tensor: how many float32 steps of each entry are rounding}, 1 where
        nothing is said: a constraint has more operations than an update's sum.
    """

    outputs: Mapping[str, np.ndarray]
    state: Arrays
    margins: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    gradients: Arrays = dataclasses.field(default_factory=dict)
    slack: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ulps: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Reference:
    """A method's signatures computed without its graph, in one float dtype."""

    def call(self, signature: str, state: Arrays, inputs: Arrays) -> Answer:
        """Returns what a call from a state must return and leave behind.

        Args:
          signature: name of one of the method's own signatures.
          state: of every state tensor, as `save` returns it.
          inputs: as the signature takes them.
        """
        raise NotImplementedError(type(self).__name__)


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A call that must change no byte of the state.

    Attributes:
      outputs: {output name: value} that the call must return exactly.
    """

    signature: str
    inputs: Arrays
    outputs: Arrays


class Proof:
    """What a method hands out; see the module.

    Attributes:
      chooses: whether a step of the method makes discrete choices (`Answer.margins`).
    """

    chooses = False

    def reference(self, dtype: str) -> Reference:
        """Returns the reference computing in "float32" or "float64"."""
        raise NotImplementedError(type(self).__name__)

    def trials(self, batch_size: int) -> Sequence[Trial]:
        """Returns the trials of an artifact of so many rows, in order."""
        raise NotImplementedError(type(self).__name__)

    def draw(
        self, trial: Trial, number: int, batch_size: int, attempt: int, seed: int
    ) -> Arrays:
        """Returns a batch of a trial's filling: {input name: [batch_size, ...]}.

        Batches of one trial (`number` among all) and one seed, but of other attempts,
        hold other features in the same kinds of rows with the same labels: a fault in
        what belongs to one class or one kind of row shows in all of them or in none.
        """
        raise NotImplementedError(type(self).__name__)

    def inputs(self, signature: str, batch: Arrays, shapes: Shapes) -> Arrays:
        """Returns what a signature is called with, taken from a batch.

        Args:
          signature: its name.
          batch: as `draw` returns it.
          shapes: {input name: shape} of the signature.
        """
        raise NotImplementedError(type(self).__name__)

    def rejected(self, batch: Arrays) -> Sequence[Rejected]:
        """Returns calls that must be rejected, made from a batch."""
        raise NotImplementedError(type(self).__name__)

    def kinds(self) -> Mapping[str, str]:
        """Returns {state tensor: kind}; errors are compared within a kind. A tensor
        that is not named is of its role's kind."""
        return {}

    def layers(self, batch_size: int) -> Sequence[Any]:
        """Returns the distinct layers of the method's networks, `layers.Layer`s that
        are proven one by one besides."""
        return ()

    def given(self, signature: str, inputs: Arrays) -> Arrays:
        """Returns {output name: value}, in part or empty: what the model that the
        method was given says itself, before anything was done to it."""
        return {}
