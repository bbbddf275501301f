"""The parity gate: an artifact is compared with TensorFlow before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.host.runtimes import Runtime
from tflite_odl.methods.base import Method, Trial
from tflite_odl.proof.batches import bad_labels
from tflite_odl.proof.expected import (
    OUTPUT_TOLERANCE,
    TENSORFLOW_MULTIPLE,
    Error,
    Expectations,
    Reference,
)
from tflite_odl.proof.references.supervised import Batch

Arrays = Mapping[str, np.ndarray]

ATTEMPTS = 4
# A loss or a count that is off by more is wrong, relative where above 1.
NEAR = 1e-3


class ParityError(ExportError):
    """The artifact and TensorFlow disagree; the message shows the first difference."""


class NearMiss(ParityError):
    """Off by more than rounding usually is; other rows must show that it was chance.

    A relu that fell the other way could explain it, or a figure of which TensorFlow's
    own float32 happened to be nearly exact.
    """


def prove(
    method: Method,
    runtimes: Mapping[str, Runtime],
    trials: Sequence[Trial],
    draw: Callable[[Trial, int], Batch],
    infer_rows: int,
) -> dict[str, dict[str, float]]:
    """Runs every signature of an artifact against TensorFlow, three times or more.

    Args:
      method: what was exported.
      runtimes: fresh ones, by name.
      trials: the training steps to compare.
      draw: (trial, attempt) -> batch. Each trial must agree; where an activation may
        have fallen the other way, or a choice hangs on a rounding, another attempt is
        made with other rows: chance does not repeat itself, a wrong gradient does.
      infer_rows: rows of one infer call.

    Returns:
      {runtime: {figure: largest error}}, TensorFlow float32's own, and how many batches
      were tried.

    Raises:
      ParityError: with the signature, tensor, index and both values.
    """
    keras = Expectations(method, infer_rows)
    gates = {name: _Gate(runtime) for name, runtime in runtimes.items()}
    shipped = {name: t.value for name, t in method.state().items()}
    state = dict(shipped)
    own: list[Error] = []
    attempts = 0
    for trial in trials:
        state |= trial.changes(state)
        reference, tried = _agreed(
            keras, gates.values(), state, lambda n, t=trial: draw(t, n)
        )
        attempts += tried
        own += reference.own.values()
        state = {n: np.asarray(reference.after32[n], v.dtype) for n, v in state.items()}
    for gate in gates.values():
        gate.reject(reference, bad_labels(method, reference.batch.y))
        gate.configure(shipped)
    figures = {name: gate.figures for name, gate in gates.items()}
    worst = {
        "train_whole_tensor": max(error.whole for error in own),
        "train_entry": max(error.entry for error in own),
    }
    return {
        **figures,
        "tensorflow_float32": worst,
        "batches": {"agreed": len(trials), "tried": attempts},
    }


def _agreed(
    keras: Expectations,
    gates: Iterable[_Gate],
    state: Arrays,
    draw: Callable[[int], Batch],
) -> tuple[Reference, int]:
    """Returns the first batch on which all runtimes agree, and how many were tried."""
    missed = None
    for attempt in range(ATTEMPTS):
        reference = keras.of(state, draw(attempt))
        if not reference.clear:
            continue
        try:
            for gate in gates:
                gate.check(reference)
        except NearMiss as error:
            missed = error
        else:
            return reference, attempt + 1
    raise missed or ParityError(
        f"{ATTEMPTS} batches were tried, and in each a choice of the method hangs on "
        "the last digits of TensorFlow's float32: prove it with other rows"
    )


class _Gate:
    """One runtime under test, and the largest errors seen on it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.figures: dict[str, float] = {}

    def check(self, reference: Reference) -> None:
        """Compares every signature from the reference's state."""
        self.restore(reference.before)
        self.infer(reference)
        self.evaluate(reference)
        self.train(reference)

    def save(self) -> dict[str, np.ndarray]:
        return self.runtime.run(contract.SAVE, {"unused": np.zeros(1, np.float32)})

    def restore(self, state: Arrays) -> None:
        """Restores a state and checks that save returns it bit for bit."""
        outputs = self.runtime.run(contract.RESTORE, dict(state))
        self.same(contract.RESTORE, "step", state["step"], outputs["step"])
        for name, value in self.save().items():
            self.same(contract.SAVE, name, state[name], value)

    def infer(self, reference: Reference) -> None:
        expected = reference.predictions64
        x = {name: v[: len(expected)] for name, v in reference.batch.x.items()}
        ((name, output),) = self.runtime.run(contract.INFER, x).items()
        off = np.abs(reference.predictions32 - expected).max()
        scale = max(1.0, np.abs(expected).max())
        tolerance = max(OUTPUT_TOLERANCE * scale, TENSORFLOW_MULTIPLE * off)
        self.close(contract.INFER, name, expected, output, tolerance)

    def evaluate(self, reference: Reference) -> None:
        outputs = self.runtime.run(contract.EVALUATE, reference.batch.inputs())
        for name, (value, tolerance) in reference.evaluation.items():
            self.close(contract.EVALUATE, name, value, outputs[name], tolerance)

    def train(self, reference: Reference) -> None:
        outputs = self.runtime.run(contract.TRAIN, reference.batch.inputs())
        norm = "gradient_norm"
        for name in reference.metrics64.keys() - {norm}:
            self.metric(reference, name, outputs, NEAR)
        after = self.save()
        for name, value in reference.after64.items():
            if name in reference.limits:
                self.updated(reference, name, after[name])
            else:
                self.same(contract.TRAIN, name, value, after[name])
        self.metric(reference, norm, outputs, np.inf)

    def metric(self, reference: Reference, name: str, outputs, near: float) -> None:
        """Checks one output of train; what is off by less than `near` is a near miss.

        TensorFlow's own error of a single number is a poor measure: by chance alone,
        one of two equally good results is more than four times as far off as the other
        in every seventh pair.
        """
        value, scale = reference.metrics64[name], max(1, reference.metrics64[name])
        own = abs(reference.metrics32[name] - value)
        tolerance = max(OUTPUT_TOLERANCE * scale, TENSORFLOW_MULTIPLE * own)
        off = abs(float(outputs[name][0]) - value)
        kind = NearMiss if off <= near * scale else ParityError
        expected = np.array([value])
        self.close(contract.TRAIN, name, expected, outputs[name], tolerance, kind)

    def updated(self, reference: Reference, name: str, after: np.ndarray) -> None:
        """Checks one tensor that the step changes."""
        error, limit = reference.error(name, after), reference.limits[name]
        if error.within(limit):
            self.note("train_whole_tensor", error.whole)
            self.note("train_entry", error.entry)
        else:
            off = f"off by {error.whole:.3g} of the update (limit {limit.whole:.3g}), "
            off += f"one entry by {error.entry:.3g} (limit {limit.entry:.3g})"
            kind = ParityError if error.gross() else NearMiss
            self.fail(contract.TRAIN, name, reference.after64[name], after, off, kind)

    def reject(self, reference: Reference, bad: np.ndarray) -> None:
        """A batch of bad labels must leave every byte of the state as it is."""
        before = self.save()
        batch = reference.batch
        outputs = self.runtime.run(contract.TRAIN, {**batch.inputs(), "y": bad})
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

    def close(
        self, signature: str, name: str, expected, got, tolerance, kind=ParityError
    ) -> None:
        """Checks one tensor entry by entry, and notes its largest error."""
        error = np.abs(got.astype(np.float64) - expected)
        if (error <= tolerance).all():
            self.note(signature, float(error.max()))
        else:
            self.fail(
                signature,
                name,
                expected,
                got,
                f"the tolerance is {tolerance:.3g}",
                kind,
            )

    def note(self, figure: str, error: float) -> None:
        self.figures[figure] = max(self.figures.get(figure, 0.0), error)

    def fail(
        self, signature: str, name: str, expected, got, why: str, kind=ParityError
    ) -> None:
        """Raises ParityError showing the entry that is furthest off."""
        error = np.abs(got.astype(np.float64) - expected)
        error = np.nan_to_num(error, nan=np.inf)
        at = np.unravel_index(error.argmax(), error.shape)
        raise kind(
            f"signature {signature!r}, tensor {name!r}, index {list(map(int, at))}: "
            f"TensorFlow has {expected[at]:.9g}, "
            f"{self.runtime.name} has {got[at]:.9g}; {why}"
        )
