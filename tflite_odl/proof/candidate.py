"""One runtime that runs an artifact under test, held against what must come of it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof.expected import Expectation
from tflite_odl.proof.limits import GROSS, TENSORFLOW_MULTIPLE
from tflite_odl.proof.proof import Arrays, Rejected

# Predictions and losses, relative where above 1: a few hundred float32 roundings.
OUTPUT_TOLERANCE = 1e-5


class ParityError(ExportError):
    """The artifact and TensorFlow disagree; the message shows the first difference."""


class NearMiss(ParityError):
    """Off by more than rounding usually is; other rows must show that it was chance.

    A relu that fell the other way could explain it, or a figure of which TensorFlow's
    own float32 happened to be nearly exact.
    """


class Candidate:
    """A runtime under test.

    Attributes:
      figures: {what: the largest error seen}.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.figures: dict[str, float] = {}
        # The state that was restored last, while nothing has moved it.
        self.holds: Arrays | None = None

    def check(self, expected: Expectation) -> None:
        """Makes a call from its state and compares all that comes of it."""
        if expected.before is not self.holds:
            self.restore(expected.before)
        self.holds = None if expected.moves else expected.before
        outputs = self.runtime.run(expected.signature, expected.inputs)
        self._named(expected.signature, "outputs", expected.answer64.outputs, outputs)
        whole = {n: v for n, v in outputs.items() if v.dtype.kind != "f"}
        for name in whole:
            self._output(expected, name, outputs[name])
        self._state(expected)
        for name in outputs.keys() - whole.keys():
            self._output(expected, name, outputs[name])

    def save(self) -> dict[str, np.ndarray]:
        return self.runtime.save()

    def restore(self, state: Arrays) -> None:
        """Restores a state and checks that save returns it bit for bit."""
        outputs = self.runtime.run(contract.RESTORE, dict(state))
        self._named(contract.RESTORE, "outputs", ("step",), outputs)
        self.same(contract.RESTORE, "step", state["step"], outputs["step"])
        self.unchanged(contract.SAVE, state)

    def unchanged(self, signature: str, state: Arrays) -> None:
        """Checks that every byte of the state is as it was before a call."""
        after = self.save()
        self._named(contract.SAVE, "tensors", state, after)
        for name, value in after.items():
            if value.tobytes() != np.asarray(state[name], value.dtype).tobytes():
                self.fail(signature, name, state[name], value, "needs the same bytes")

    def reject(self, rejected: Rejected) -> None:
        """Makes a call that must change no byte, and say so."""
        before = self.save()
        outputs = self.runtime.run(rejected.signature, rejected.inputs)
        for name, value in rejected.outputs.items():
            self.same(rejected.signature, name, value, outputs[name])
        self.unchanged(rejected.signature, before)

    def as_given(
        self, signature: str, state: Arrays, inputs: Arrays, expected: Arrays
    ) -> None:
        """Compares a call with what the model that the method was given says."""
        self.restore(state)
        outputs = self.runtime.run(signature, inputs)
        for name, value in expected.items():
            off = np.abs(outputs[name].astype(np.float64) - value)
            tolerance = OUTPUT_TOLERANCE * np.maximum(1.0, np.abs(value))
            if not (off <= tolerance).all():
                why = "this is what the model says as it was given, before its ending "
                why += "was taken off and its layers were read"
                self.fail(signature, name, value, outputs[name], why)
            self.note("as_given", float(off.max()))

    def configure(self, state: Arrays) -> None:
        """Each value is set to another one in its range, kept by NaN, and set back."""
        signature = self.runtime.manifest.signature(contract.CONFIGURE)
        names = signature.input_names
        other = {s.name: _another(s, state[s.name]) for s in signature.inputs}
        nothing = {name: np.full_like(state[name], np.nan) for name in names}
        back = {name: state[name] for name in names}
        for values, in_force in ((other, other), (nothing, other), (back, back)):
            outputs = self.runtime.run(contract.CONFIGURE, values)
            self._named(contract.CONFIGURE, "outputs", names, outputs)
            after = self.save()
            for name in names:
                self.same(contract.CONFIGURE, name, in_force[name], outputs[name])
                self.same(contract.CONFIGURE, name, in_force[name], after[name])

    def _output(self, expected: Expectation, name: str, got: np.ndarray) -> None:
        """Checks one output. What is off by less than a gross error is a near miss.

        TensorFlow's own error says how far a whole array may be off; of a single number
        it is a poor measure, for by chance alone one of two equally good results is
        more than four times as far off as the other in every seventh pair. So where
        nothing moves, a number is held to the tolerance, and where a near miss may be
        tried again to TensorFlow's error as well.
        """
        value = np.asarray(expected.answer64.outputs[name])
        slack = expected.answer64.slack.get(name, 0.0)
        if got.dtype.kind != "f":
            self.close(expected.signature, name, value, got, slack)
            return
        scale = max(1.0, float(np.abs(value).max()))
        tolerance = OUTPUT_TOLERANCE * scale + slack
        off = np.abs(got.astype(np.float64) - value)
        single = not expected.moves and value.size == 1
        if not (off <= tolerance).all() and not single:
            own = expected.own_outputs[name]
            tolerance = max(tolerance, TENSORFLOW_MULTIPLE * own)
        near = expected.moves and (off <= GROSS * scale).all()
        kind = NearMiss if near else ParityError
        self.close(expected.signature, name, value, got, tolerance, kind)

    def _state(self, expected: Expectation) -> None:
        if not expected.moves:
            self.unchanged(expected.signature, expected.before)
            return
        after = self.save()
        self._named(expected.signature, "tensors", expected.answer64.state, after)
        for name, value in expected.answer64.state.items():
            if name in expected.limits.changed:
                self._updated(expected, name, after[name])
            else:
                self.same(expected.signature, name, value, after[name])

    def _updated(self, expected: Expectation, name: str, after: np.ndarray) -> None:
        """Checks one tensor that the call changes."""
        limits, value = expected.limits, expected.answer64.state[name]
        if not limits.fits(name, after):
            off = "its gradient is noise about zero, which never is so large"
            self.fail(expected.signature, name, value, after, off, NearMiss)
        if name in limits.noise:
            return
        error, limit = limits.error(name, after), limits.limit(name)
        if error.within(limit):
            kind = "calm" if expected.calm else expected.signature
            self.note(f"{kind}_whole_tensor", error.whole)
            self.note(f"{kind}_entry", error.entry)
        else:
            off = f"off by {error.whole:.3g} of the update (limit {limit.whole:.3g}), "
            off += f"one entry by {error.entry:.3g} (limit {limit.entry:.3g})"
            kind = ParityError if error.gross() else NearMiss
            self.fail(expected.signature, name, value, after, off, kind)

    def _named(
        self, signature: str, what: str, wanted: Collection, got: Collection
    ) -> None:
        """Checks that nothing is missing and nothing was never compared."""
        if set(wanted) != set(got):
            missing, unknown = set(wanted) - set(got), set(got) - set(wanted)
            raise ParityError(
                f"signature {signature!r}: {self.runtime.name} returns {what} that the "
                f"reference does not know {sorted(unknown)}, and lacks "
                f"{sorted(missing)}: add them to the method's reference"
            )

    def same(self, signature: str, name: str, expected, got) -> None:
        expected = np.asarray(expected)
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
            why = f"the tolerance is {tolerance:.3g}"
            self.fail(signature, name, expected, got, why, kind)

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


def _another(spec: contract.TensorSpec, value: np.ndarray) -> np.ndarray:
    """Returns another value in a hyper-parameter's range, if there is one."""
    low = -np.inf if spec.low is None else spec.low
    high = np.inf if spec.high is None else spec.high
    for factor in (0.5, 2.0):
        other = value * np.float32(factor)
        if ((low <= other) & (other <= high)).all():
            return other
    return value
