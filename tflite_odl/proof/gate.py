"""The parity gate: an artifact is compared with TensorFlow before it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_odl.contract import Manifest
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof.candidate import Candidate, NearMiss, ParityError
from tflite_odl.proof.expected import Expectation, Expectations
from tflite_odl.proof.limits import Error
from tflite_odl.proof.proof import Arrays, Proof, Trial

__all__ = ["ParityError", "prove"]

# After a near miss so many fresh batches in a row must agree, and after so many misses
# the artifact is refused. Batches of one trial keep labels and kinds of rows (see
# `Proof.draw`), so a fault that one of them shows is in every one of them; BUILD.md has
# the arithmetic.
AGREEMENTS, MISSES = 4, 8
# Batches of one trial, those included that prove nothing.
DRAWS = 32


@dataclasses.dataclass
class Tally:
    """What was tried so far, and what could be held loosely only.

    Attributes:
      agreed, tried, missed, unclear: batches.
      own: TensorFlow float32's own errors.
      noise, cancelled, seen, moved: names of state tensors, see `Limits`.
      learned: those that a gradient has moved.
    """

    agreed: int = 0
    tried: int = 0
    missed: int = 0
    unclear: int = 0
    own: list[Error] = dataclasses.field(default_factory=list)
    noise: set[str] = dataclasses.field(default_factory=set)
    cancelled: set[str] = dataclasses.field(default_factory=set)
    seen: set[str] = dataclasses.field(default_factory=set)
    moved: set[str] = dataclasses.field(default_factory=set)
    learned: set[str] = dataclasses.field(default_factory=set)

    def take(self, expected: Sequence[Expectation]) -> None:
        """Notes what a trial that agreed has shown."""
        for one in expected:
            if one.moves:
                limits = one.limits
                self.own += limits.own.values()
                self.noise.update(limits.noise)
                self.seen.update(limits.seen)
                self.moved.update(limits.own)
                self.learned.update(limits.own.keys() & one.answer64.gradients.keys())
                if one.calm:
                    self.cancelled.update(limits.cancelled)

    def unseen(self, names: Collection[str]) -> list[str]:
        """Returns which tensors have learned, but never by more than their rounding."""
        return sorted(self.learned.intersection(names) - self.seen)

    def figures(self, names: Collection[str]) -> dict[str, Any]:
        """Returns what the manifest says; names: of the tensors that learn."""
        return {
            "tensorflow_float32": {
                "train_whole_tensor": max((e.whole for e in self.own), default=0.0),
                "train_entry": max((e.entry for e in self.own), default=0.0),
            },
            "batches": {
                "agreed": self.agreed,
                "tried": self.tried,
                "missed": self.missed,
                "unclear": self.unclear,
            },
            "held_loosely": {
                "gradient_is_noise": sorted(self.noise - self.moved),
                "float32_cancels": sorted(self.cancelled),
                "near_rounding": sorted(self.moved.intersection(names) - self.seen),
                "never_moved": sorted(set(names) - self.moved - self.noise),
            },
        }


def prove(
    proof: Proof,
    manifest: Manifest,
    runtimes: Mapping[str, Runtime],
    shipped: Arrays,
    batch_size: int,
    seed: int = 0,
    begin: Arrays | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Runs every signature of an artifact against TensorFlow.

    Args:
      proof: of the method that was exported.
      manifest: names signatures and state.
      runtimes: of the artifact, by name.
      shipped: the state of the artifact.
      batch_size: rows of a train call.
      seed: of the batches.
      begin: the state that the trials begin from, if it is another one.
      progress: called with the name of each stage as it begins.

    Returns:
      {runtime: {figure: largest error}}, TensorFlow float32's own, how many batches
      were tried, and the tensors that could be held loosely only.

    Raises:
      ParityError: with the signature, tensor, index and both values.
    """
    expectations = Expectations(proof, manifest)
    candidates = {name: Candidate(runtime) for name, runtime in runtimes.items()}
    learning = [spec.name for spec in manifest.state if spec.role == "weight"]
    tally, state, batch = Tally(), dict(begin or shipped), {}
    trials = proof.trials(batch_size)
    for number, trial in enumerate(trials):
        if trial.spare and not tally.unseen(learning):
            continue
        progress(f"prove: trial {number + 1} of {len(trials)}")
        start = {**state, **trial.changes(state)}

        def draw(attempt: int, trial: Trial = trial, number: int = number) -> Arrays:
            return proof.draw(trial, number, batch_size, attempt, seed)

        batch, expected = _agreed(
            trial, start, draw, expectations, candidates.values(), tally
        )
        if trial.carried:
            after = expected[-1].answer32.state
            state = {n: np.asarray(after[n], v.dtype) for n, v in start.items()}
    if unseen := tally.unseen(learning):
        raise ParityError(
            f"no trial moves {unseen} by more than the rounding of their values: their "
            "updates cannot be proven; add a trial to the method's proof that does"
        )
    progress("prove: the model as it was given")
    _as_given(proof, manifest, candidates.values(), shipped, batch_size, seed)
    for candidate in candidates.values():
        for rejected in proof.rejected(batch):
            candidate.reject(rejected)
        candidate.configure(shipped)
    figures = {name: candidate.figures for name, candidate in candidates.items()}
    return {**figures, **tally.figures(learning)}


def _as_given(
    proof: Proof,
    manifest: Manifest,
    candidates: Collection[Candidate],
    shipped: Arrays,
    batch_size: int,
    seed: int,
) -> None:
    """Compares inference with the user's own model, before anything was done to it."""
    batch = proof.draw(Trial(), 0, batch_size, 0, seed)
    for signature, specs in manifest.signatures.items():
        shapes = {spec.name: spec.shape for spec in specs.inputs}
        if not shapes.keys() <= batch.keys():
            continue
        inputs = proof.inputs(signature, batch, shapes)
        expected = proof.given(signature, inputs)
        for candidate in candidates if expected else ():
            candidate.as_given(signature, shipped, inputs, expected)


def _agreed(
    trial: Trial,
    state: Arrays,
    draw: Callable[[int], Arrays],
    expectations: Expectations,
    candidates: Collection[Candidate],
    tally: Tally,
) -> tuple[Arrays, Sequence[Expectation]]:
    """Returns the batch on which all runtimes agree at last, and what was expected.

    The first batch that is clear will do. After a near miss several in a row must
    agree: chance does not repeat itself, a wrong gradient does.
    """
    missed, misses, needed = None, 0, 1
    earlier: dict[str, Error] = {}
    for attempt in range(DRAWS):
        batch = draw(attempt)
        expected = expectations.of(trial, state, batch, earlier)
        tally.tried += 1
        if not all(one.clear for one in expected):
            tally.unclear += 1
            continue
        earlier = _largest(earlier, expected)
        try:
            for candidate in candidates:
                for one in expected:
                    candidate.check(one)
        except NearMiss as error:
            missed, misses, needed = error, misses + 1, AGREEMENTS
            tally.missed += 1
            if misses == MISSES:
                break
            continue
        tally.take(expected)
        needed -= 1
        if not needed:
            tally.agreed += 1
            return batch, expected
    raise missed or ParityError(
        f"{DRAWS} batches were tried, and in each a choice of the method hangs on the "
        "last digits of TensorFlow's float32, or a gradient does: prove it with other "
        "rows, or from other weights"
    )


def _largest(
    earlier: Mapping[str, Error], expected: Sequence[Expectation]
) -> dict[str, Error]:
    """Returns TensorFlow's own errors by kind and output, the largest of a trial."""
    found = dict(earlier)
    for one in expected:
        for kind, own in one.limits.of_kind.items() if one.moves else ():
            before = found.get(kind, own)
            whole, entry = max(own.whole, before.whole), max(own.entry, before.entry)
            found[kind] = Error(whole, entry)
        for name, off in one.own_outputs.items() if one.moves else ():
            worst = max(off, found.get(f"output {name}", Error(0.0, 0.0)).whole)
            found[f"output {name}"] = Error(worst, worst)
    return found
