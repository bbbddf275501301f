"""What TensorFlow says of a training step, and how close an artifact must come.

Training is chaotic, so every compared step starts from TensorFlow's own state, and
errors are measured against Keras in float64, relative to the update. One ulp of each
entry is rounding and does not count.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tflite_odl.methods.base import Method
from tflite_odl.proof.references.losses import Metrics
from tflite_odl.proof.references.skip import SkipReference
from tflite_odl.proof.references.supervised import Batch, KerasReference

Arrays = Mapping[str, np.ndarray]

REFERENCES = {"finetune": KerasReference, "skip": SkipReference}

# Predictions and losses, relative where above 1: a few hundred float32 roundings.
OUTPUT_TOLERANCE = 1e-5
# Error of one step relative to the update where statistics are frozen.
STEP_TOLERANCE = 1e-5
# With batch statistics TensorFlow's own float32 is off by more: so many times that.
TENSORFLOW_MULTIPLE = 4.0
# An update this far below the largest one is noise about an exact zero, for instance
# the gradient of a bias that a batch norm removes again.
UPDATE_FLOOR = 1e-6
# A relu whose input is within a rounding of 0 may fall the other way, which moves the
# gradients by far more than a rounding, but never by so much of a whole update.
GROSS = 0.25
# A choice that hangs on less may fall the other way: such a batch proves nothing.
CLEAR_MARGIN = 1e-5


@dataclasses.dataclass(frozen=True)
class Error:
    """How far one tensor is off after a step, relative to its update.

    Attributes:
      whole: root of the mean square, relative to that of the update.
      entry: largest entry, relative to the largest of the update.
    """

    whole: float
    entry: float

    def within(self, limit: Error) -> bool:
        return self.whole <= limit.whole and self.entry <= limit.entry

    def gross(self) -> bool:
        """Whether no activation that falls the other way could explain it."""
        return not self.whole <= GROSS


@dataclasses.dataclass(frozen=True)
class Reference:
    """One batch: the state before, and what TensorFlow makes of it.

    `clear` says whether every discrete choice was a clear one.
    """

    batch: Batch
    before: Arrays
    after32: Arrays
    after64: Arrays
    metrics32: Mapping[str, float]
    metrics64: Mapping[str, float]
    predictions32: np.ndarray
    predictions64: np.ndarray
    evaluation: Metrics
    clear: bool = True

    @functools.cached_property
    def changed(self) -> tuple[str, ...]:
        """Names of the float tensors that the step changes."""
        return tuple(
            name
            for name, value in self.after64.items()
            if value.dtype.kind == "f" and (value != self.before[name]).any()
        )

    @functools.cached_property
    def floor(self) -> float:
        largest = [self._update(name).max() for name in self.changed]
        return UPDATE_FLOOR * float(max(largest, default=0.0))

    def error(self, name: str, after: np.ndarray) -> Error:
        """Returns how far a tensor is from float64's; NaN counts as infinitely far."""
        expected = self.after64[name]
        rounding = np.spacing(np.abs(expected).astype(np.float32))
        off = np.maximum(np.abs(after.astype(np.float64) - expected) - rounding, 0)
        off, update = np.nan_to_num(off, nan=np.inf), self._update(name)
        return Error(
            float(_rms(off) / max(_rms(update), self.floor)),
            float(off.max() / max(update.max(), self.floor)),
        )

    @functools.cached_property
    def own(self) -> dict[str, Error]:
        """TensorFlow float32's own errors."""
        return {name: self.error(name, self.after32[name]) for name in self.changed}

    @functools.cached_property
    def limits(self) -> dict[str, Error]:
        """What is allowed: a multiple of TensorFlow's own error, or STEP_TOLERANCE.

        A whole tensor is held to its own error there or, as that is one draw of a
        chaotic figure, to that of all but the worst tenth of the tensors. A single
        entry is held to the worst tensor's: one relu that falls the other way moves a
        column, and falls elsewhere in every run.

        Tensors whose update is noise say nothing of the others, and are held to the
        worst of their kind.
        """
        noise = [error for name, error in self.own.items() if self._noise(name)]
        sound = [error for name, error in self.own.items() if not self._noise(name)]
        usual = float(np.percentile([error.whole for error in sound] or [0], 90))
        entry = max([error.entry for error in sound], default=0.0)
        loose = Error(
            _limit(max([GROSS, *(error.whole for error in noise)])),
            _limit(max([GROSS, *(error.entry for error in noise)])),
        )
        return {
            name: loose
            if self._noise(name)
            else Error(_limit(max(error.whole, usual)), _limit(entry))
            for name, error in self.own.items()
        }

    def _noise(self, name: str) -> bool:
        """Whether an update is rounding about an exact zero, which Adam makes large:
        it is below the floor, or TensorFlow itself is grossly off."""
        return self.own[name].gross() or _rms(self._update(name)) <= self.floor

    def _update(self, name: str) -> np.ndarray:
        return np.abs(self.after64[name] - self.before[name])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _limit(own: float) -> float:
    return max(STEP_TOLERANCE, TENSORFLOW_MULTIPLE * own)


class Expectations:
    """Keras in float32 and in float64, side by side.

    Args:
      method: what is exported.
      infer_rows: rows of one infer call.
    """

    def __init__(self, method: Method, infer_rows: int) -> None:
        reference = REFERENCES[method.name]
        self.float32 = reference(method, "float32")
        self.float64 = reference(method, "float64")
        self.infer_rows = infer_rows

    def of(self, state: Arrays, batch: Batch) -> Reference:
        """Returns what TensorFlow makes of one batch from a given state."""
        after32, metrics32 = self.float32.step(state, batch)
        after64, metrics64 = self.float64.step(state, batch)
        x = {name: value[: self.infer_rows] for name, value in batch.x.items()}
        return Reference(
            batch,
            state,
            after32,
            after64,
            metrics32,
            metrics64,
            self.float32.predictions(state, x),
            self.float64.predictions(state, x),
            self.float64.evaluate(state, batch, OUTPUT_TOLERANCE),
            self._clear(),
        )

    def _clear(self) -> bool:
        """Whether float32 made every choice as float64, with a margin."""
        exact, rounded = self.float64.margins, self.float32.margins
        if exact.shape != rounded.shape:
            return False
        off = TENSORFLOW_MULTIPLE * np.abs(exact - rounded)
        return bool((np.abs(exact) > np.maximum(CLEAR_MARGIN, off)).all())
