"""Golden calls: what a phone or another runtime repeats to prove itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.exporter.artifact import Call, Expected, Goldens
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof.expected import Expectations
from tflite_odl.proof.proof import Arrays, Proof

EXACT_STATE = (1e-5, "float32 sums in another order, from a stated state")
DRIFT = "float32 sums in another order, as far as TensorFlow's own move a step"
# Of what a step has moved, however far TensorFlow's own float32 is off.
LEAST_DRIFT, MOST_DRIFT = 1e-4, 1e-2
# So many trials are played; batches drawn for each until one is clear.
TRIALS, DRAWS = 3, 16
# Outputs of a step that are made from its gradients.
OF_GRADIENTS = ("gradient_norm", "estimated_rse")


@dataclasses.dataclass(frozen=True)
class Step:
    """A call from the shipped state.

    Attributes:
      signature: what is called.
      changes: tensors of the state that are set before.
      inputs: of the call.
    """

    signature: str
    changes: Arrays
    inputs: Arrays


def golden_steps(
    proof: Proof, manifest: contract.Manifest, shipped: Arrays, batch_size: int
) -> list[Step]:
    """Returns the calls of the first trials, each from the shipped state.

    Where a method makes discrete choices, batches are drawn until these are clear ones
    from that state too.
    """
    shapes = {
        name: {spec.name: spec.shape for spec in signature.inputs}
        for name, signature in manifest.signatures.items()
    }
    expectations = None
    steps: list[Step] = []
    for number, trial in enumerate(proof.trials(batch_size)[:TRIALS]):
        changes = trial.changes(shipped)
        state = {**shipped, **changes}
        for attempt in range(DRAWS):
            batch = proof.draw(trial, number, batch_size, attempt, 0)
            if not proof.chooses:
                break
            expectations = expectations or Expectations(proof, manifest)
            if all(one.clear for one in expectations.of(trial, state, batch)):
                break
        new = [s for s in trial.signatures if s == contract.TRAIN or not number]
        for signature in new:
            inputs = proof.inputs(signature, batch, shapes[signature])
            steps.append(Step(signature, changes, inputs))
    return steps


def record(
    runtime: Runtime, shipped: Arrays, steps: Sequence[Step], drift: float
) -> Goldens:
    """Returns the calls made on a runtime, with what it answered.

    Each step begins from the shipped state, with its changes; inference and evaluation
    once more, which follow each one of `train`, begin from what that has made.

    Args:
      runtime: of the artifact.
      shipped: the state it is shipped with.
      steps: what to call.
      drift: how far one entry of a step in TensorFlow's float32 is from float64,
        relative to the update, noise aside. What is made from updates is compared
        within ten times that, between `LEAST_DRIFT` and `MOST_DRIFT`.
    """
    later = (min(max(LEAST_DRIFT, 10 * drift), MOST_DRIFT), DRIFT)
    after = [step for step in steps if step.signature != contract.TRAIN]
    calls = []
    for step in steps:
        runtime.run(contract.RESTORE, {**shipped, **step.changes})
        calls.append(_call(runtime, step, EXACT_STATE, later, dict(step.changes)))
        if step.signature == contract.TRAIN:
            calls += [_call(runtime, one, later, later, None) for one in after]
    return Goldens(tuple(calls))


def _call(
    runtime: Runtime,
    step: Step,
    tolerance: tuple[float, str],
    of_gradients: tuple[float, str],
    changes: Arrays | None,
) -> Call:
    outputs = runtime.run(step.signature, step.inputs)
    expected = {
        name: _expected(value, *(of_gradients if name in OF_GRADIENTS else tolerance))
        for name, value in outputs.items()
    }
    return Call(step.signature, step.inputs, expected, changes)


def _expected(value: np.ndarray, rtol: float, reason: str) -> Expected:
    if value.dtype.kind != "f":
        return Expected(value)
    return Expected(value, rtol, atol=1e-5, reason=reason)
