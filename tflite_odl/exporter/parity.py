"""The parity gate: an artifact is compared with TensorFlow before it is written.

Training is chaotic, so every compared step starts from TensorFlow's own state. An
error is measured against Keras in float64, in units of the largest entry of the
tensor's update; what is allowed is stated at `allowed`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.host.runtimes import Runtime
from tflite_odl.methods.base import Method
from tflite_odl.methods.reference import Batch, KerasReference

Arrays = Mapping[str, np.ndarray]

# Single-step error relative to the largest entry of the update, frozen statistics.
STEP_TOLERANCE = 1e-5
# With batch statistics TensorFlow's own float32 is off by more: so many times that.
TENSORFLOW_MULTIPLE = 4.0
# An update this far below the largest one is noise about an exact zero, for instance
# the gradient of a bias that a batch norm removes again.
UPDATE_FLOOR = 1e-6
# Probabilities and losses: a few hundred float32 roundings.
OUTPUT_TOLERANCE = 1e-5
CALLS = 3


class ParityError(ExportError):
    """The artifact and TensorFlow disagree; the message shows the first difference."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What TensorFlow says of one batch: the state before, and what must come after."""

    batch: Batch
    before: Arrays
    after32: Arrays
    after64: Arrays
    loss: float
    probabilities32: np.ndarray
    probabilities64: np.ndarray
    evaluation: dict[str, Any]

    @functools.cached_property
    def updates(self) -> dict[str, float]:
        """The largest entry of each changed tensor's update, not below the floor."""
        found = {
            name: float(np.abs(value - self.before[name]).max())
            for name, value in self.after64.items()
            if value.dtype.kind == "f" and (value != self.before[name]).any()
        }
        floor = UPDATE_FLOOR * max(found.values())
        return {name: max(update, floor) for name, update in found.items()}

    @functools.cached_property
    def own_errors(self) -> dict[str, float]:
        """TensorFlow float32's error in each changed tensor, relative to its update."""
        return {
            name: float(np.abs(self.after32[name] - self.after64[name]).max() / update)
            for name, update in self.updates.items()
        }


def references(method: Method, batches: Sequence[Batch], infer_rows: int):
    """Returns a Reference per batch, each state following from TensorFlow's float32."""
    keras32, keras64 = (
        KerasReference(method, "float32"),
        KerasReference(method, "float64"),
    )
    state = {name: tensor.value for name, tensor in method.state().items()}
    found = []
    for batch in batches:
        after32, loss = keras32.step(state, batch)
        after64, loss = keras64.step(state, batch)
        x = batch.x[:infer_rows]
        found.append(
            Reference(
                batch,
                state,
                after32,
                after64,
                loss,
                keras32.probabilities(state, x),
                keras64.probabilities(state, x),
                keras64.evaluate(state, batch),
            )
        )
        state = {
            name: np.asarray(after32[name], tensor.value.dtype)
            for name, tensor in method.state().items()
        }
    return found


def prove(runtime: Runtime, found: Sequence[Reference]) -> dict[str, float]:
    """Runs every signature against the references; returns the largest errors.

    Raises:
      ParityError: with the signature, tensor, index and both values.
    """
    gate = _Gate(runtime)
    for reference in found:
        gate.restore(reference.before)
        gate.infer(reference)
        gate.evaluate(reference)
        gate.train(reference)
    gate.reject(found[-1])
    gate.configure(found[0].before)
    return gate.figures


class _Gate:
    """One runtime under test, and the largest errors seen on it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.figures: dict[str, float] = {}

    def save(self) -> dict[str, np.ndarray]:
        return self.runtime.run(contract.SAVE, {"unused": np.zeros(1, np.float32)})

    def restore(self, state: Arrays) -> None:
        """Restores a state and checks that save returns it bit for bit."""
        outputs = self.runtime.run(contract.RESTORE, dict(state))
        self.same(contract.RESTORE, "step", state["step"], outputs["step"])
        for name, value in self.save().items():
            self.same(contract.SAVE, name, state[name], value)

    def infer(self, reference: Reference) -> None:
        rows = len(reference.probabilities64)
        outputs = self.runtime.run(contract.INFER, {"x": reference.batch.x[:rows]})
        off = np.abs(reference.probabilities32 - reference.probabilities64).max()
        tolerance = max(OUTPUT_TOLERANCE, TENSORFLOW_MULTIPLE * off)
        self.close(
            contract.INFER,
            "probabilities",
            reference.probabilities64,
            outputs["probabilities"],
            tolerance,
        )

    def evaluate(self, reference: Reference) -> None:
        outputs = self.runtime.run(contract.EVALUATE, reference.batch.inputs())
        said = reference.evaluation
        scale = max(1.0, abs(said["loss"]))
        loss = np.array([said["loss"]])
        self.close(
            contract.EVALUATE, "loss", loss, outputs["loss"], OUTPUT_TOLERANCE * scale
        )
        best, runner_up = np.sort(said["logits"])[:, ::-1][:, :2].T
        # A choice may differ where the two best logits are closer than the tolerance.
        unsure = int((best - runner_up < OUTPUT_TOLERANCE * scale).sum())
        hits = np.array([(said["logits"].argmax(1) == said["labels"]).sum()])
        self.close(contract.EVALUATE, "correct", hits, outputs["correct"], unsure)
        counted = np.array([len(said["labels"])])
        self.close(contract.EVALUATE, "count", counted, outputs["count"], 0)

    def train(self, reference: Reference) -> None:
        outputs = self.runtime.run(contract.TRAIN, reference.batch.inputs())
        scale = max(1.0, abs(reference.loss))
        loss = np.array([reference.loss])
        tolerance = OUTPUT_TOLERANCE * scale
        self.close(contract.TRAIN, "loss", loss, outputs["loss"], tolerance)
        after = self.save()
        for name, tolerance in allowed(reference).items():
            self.close(
                contract.TRAIN,
                name,
                reference.after64[name],
                after[name],
                tolerance,
                reference.updates.get(name, 1.0),
            )
        self.typical(reference, after)

    def typical(self, reference: Reference, after: Arrays) -> None:
        """Checks that the median tensor is as close as TensorFlow's float32 allows."""
        own = np.array(list(reference.own_errors.values()))
        ours = [
            np.abs(after[name] - reference.after64[name]).max() / update
            for name, update in reference.updates.items()
        ]
        median, limit = np.median(ours), TENSORFLOW_MULTIPLE * np.median(own)
        if median > max(limit, STEP_TOLERANCE):
            raise ParityError(
                f"signature 'train' on {self.runtime.name}: the median tensor's update is "
                f"off by {median:.3g} of its largest entry, TensorFlow's own by "
                f"{np.median(own):.3g}"
            )

    def reject(self, reference: Reference) -> None:
        """A batch without a good row must leave every byte of the state as it is."""
        before = self.save()
        batch = reference.batch
        outside = np.full_like(batch.y, np.iinfo(np.int32).max)
        outputs = self.runtime.run(contract.TRAIN, {**batch.inputs(), "y": outside})
        self.same(
            contract.TRAIN, "rejected_rows", batch.count, outputs["rejected_rows"]
        )
        for name, value in self.save().items():
            self.same(contract.TRAIN, name, before[name], value)

    def configure(self, state: Arrays) -> None:
        """Each value is set, kept by NaN, and set back."""
        signature = self.runtime.manifest.signature(contract.CONFIGURE)
        for factor in (0.5, np.nan, 1.0):
            values = {n: state[n] * np.float32(factor) for n in signature.input_names}
            outputs = self.runtime.run(contract.CONFIGURE, values)
            kept = 0.5 if np.isnan(factor) else factor
            for name in signature.input_names:
                expected = state[name] * np.float32(kept)
                self.same(contract.CONFIGURE, name, expected, outputs[name])

    def same(self, signature: str, name: str, expected, got) -> None:
        if not np.array_equal(expected, got, equal_nan=expected.dtype.kind == "f"):
            self.close(signature, name, expected, got, 0.0)

    def close(self, signature, name, expected, got, tolerance, unit=1.0) -> None:
        """Checks one tensor and notes its error in units of `unit`."""
        error = np.abs(got.astype(np.float64) - expected)
        error = np.where(np.isnan(error), np.inf, error)
        worst = float(error.max() / unit)
        self.figures[signature] = max(self.figures.get(signature, 0.0), worst)
        if (error <= tolerance).all():
            return
        at = np.unravel_index(error.argmax(), error.shape)
        raise ParityError(
            f"signature {signature!r}, tensor {name!r}, index {list(map(int, at))}: "
            f"TensorFlow has {expected[at]:.9g}, {self.runtime.name} has {got[at]:.9g}; "
            f"the difference {error[at]:.3g} is above {tolerance:.3g}"
        )


def allowed(reference: Reference) -> dict[str, float]:
    """Returns {state tensor: largest absolute error of one training step}.

    A tensor may be off by STEP_TOLERANCE of its update, or by TENSORFLOW_MULTIPLE
    times what TensorFlow's float32 is off itself: in this tensor or, as that is one
    draw of a chaotic figure (one relu that flips moves a whole layer), in all but the
    worst tenth of the tensors. The rounding of its entries comes on top. What the step
    does not change must stay as it is.
    """
    updates, own = reference.updates, reference.own_errors
    usual = float(np.percentile(list(own.values()), 90))
    result = dict.fromkeys(reference.after64, 0.0)
    for name in own:
        share = max(STEP_TOLERANCE, TENSORFLOW_MULTIPLE * max(own[name], usual))
        largest = np.float32(np.abs(reference.after64[name]).max())
        result[name] = share * updates[name] + float(np.spacing(largest))
    return result
