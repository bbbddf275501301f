"""How close an artifact's new state must come to TensorFlow's, tensor by tensor.

Training is chaotic, so every compared step starts from TensorFlow's own state, and
errors are measured against Keras in float64, relative to the tensor's own update. One
ulp of each entry, or as many as `Answer.ulps` says, is rounding and does not count.
What counts as noise is decided by the gradient, not by the size of an update beside
those of other tensors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin.optimizers import SQUARES
from tflite_odl.proof.proof import Answer, Arrays

# Error of one step relative to the update where float32 has no reason to be worse.
STEP_TOLERANCE = 1e-5
# Elsewhere TensorFlow's own float32 is off by more: so many times that is allowed, for
# of two equally good sums one is often two or three times as far off as the other.
TENSORFLOW_MULTIPLE = 4.0
# No more is ever allowed of a whole update, or of its entries: what is missing is off
# by 1, what is negated by 2. A relu that falls the other way moves less than this.
GROSS, GROSS_ENTRY = 0.25, 0.5
# The same where activations are kept off their kinks (`calm`).
CALM = 1e-3
# A gradient of which float32 has not a quarter right is noise about zero if it is also
# this small beside the largest of its kind; if it is not, the batch proves nothing.
TINY = 1e-4
# A weight whose update is this far above its rounding is seen: a fault of 1 % shows.
SEEN = 1e-2
# Noise may be so many times as large in one float32 implementation as in another; its
# square is off by the square of that.
NOISE_MULTIPLE = 10.0
# Of a tensor's largest update: what any entry of it may be off by rounding.
ROUNDING = 1e-6


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
class Limits:
    """What a step may make of each float tensor that it changes.

    Attributes:
      before: the state before the step.
      answer32, answer64: what TensorFlow makes of it.
      kinds: {name: kind}; errors are judged among tensors of one kind.
      calm: whether the state was chosen to keep float32 nearly exact.
      earlier: {kind: TensorFlow's own error} of this trial's other batches.
    """

    before: Arrays
    answer32: Answer
    answer64: Answer
    kinds: Mapping[str, str]
    calm: bool = False
    earlier: Mapping[str, Error] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def changed(self) -> tuple[str, ...]:
        """Names of the float tensors that the step changes, in either precision."""
        return tuple(
            name
            for name, value in self.answer64.state.items()
            if value.dtype.kind == "f"
            and any(
                (np.asarray(answer.state[name]) != self.before[name]).any()
                for answer in (self.answer32, self.answer64)
            )
        )

    def error(self, name: str, after: np.ndarray) -> Error:
        """Returns how far a tensor's sound entries are from float64's; NaN counts as
        infinitely far."""
        sound = self._sound[name]
        off, update = self._off(name, after)[sound], self._update(name)[sound]
        if not off.size:
            return Error(0.0, 0.0)
        if not update.any():
            exact = 0.0 if not off.any() else np.inf
            return Error(exact, exact)
        return Error(float(_rms(off) / _rms(update)), float(off.max() / update.max()))

    def fits(self, name: str, after: np.ndarray) -> bool:
        """Whether a tensor's entries that are noise are no larger than noise is."""
        noise = ~self._sound[name]
        if not noise.any():
            return True
        updates = [self._update(name, a) for a in (self.answer64, self.answer32)]
        noisy = max(update[noise].max() for update in updates)
        # Beside their own noise they may be off as any entry of their kind may.
        share = ROUNDING if name in self.noise else self.limit(name).entry
        multiple = NOISE_MULTIPLE ** (2 if self.kinds[name] in SQUARES else 1)
        most = multiple * noisy + share * updates[0].max()
        return bool((self._off(name, after)[noise] <= most).all())

    @functools.cached_property
    def own(self) -> dict[str, Error]:
        """TensorFlow float32's own errors, of what is not noise as a whole."""
        return {
            name: self.error(name, self.answer32.state[name])
            for name in self.changed
            if name not in self.noise
        }

    @functools.cached_property
    def noise(self) -> tuple[str, ...]:
        """Names whose gradient is rounding about an exact zero, for instance that of a
        bias that a batch norm removes again."""
        return tuple(n for n in self.changed if self._gross(n) and self._tiny(n))

    @functools.cached_property
    def unclear(self) -> tuple[str, ...]:
        """Names of which TensorFlow's float32 is grossly off though they are no noise:
        the batch proves nothing."""
        rest = [name for name in self.changed if name not in self.noise]
        return tuple(n for n in rest if self._gross(n) or self.own[n].gross())

    @functools.cached_property
    def seen(self) -> tuple[str, ...]:
        """Names whose update is far above the rounding of their values."""
        return tuple(
            name
            for name in self.own
            if _rms(self._rounding(name)) <= SEEN * _rms(self._update(name))
        )

    @functools.cached_property
    def cancelled(self) -> tuple[str, ...]:
        """Names of which TensorFlow's float32 is not within `CALM`."""
        return tuple(n for n, own in self.own.items() if own.whole > CALM)

    def limit(self, name: str) -> Error:
        """Returns what is allowed: a multiple of TensorFlow's own error.

        A whole tensor is held to its own error there or, as that is one draw of a
        chaotic figure, to that of all but the worst tenth of the tensors of its kind. A
        single entry is held to the worst tensor's of its kind: one relu that falls the
        other way moves a column, and falls elsewhere in every run. Where a trial takes
        several batches, TensorFlow's error is the largest so far.
        """
        kind = self.kinds[name]
        usual, before = self.of_kind[kind], self.earlier.get(kind, Error(0.0, 0.0))
        whole = max(self.own[name].whole, usual.whole, before.whole)
        entry = max(usual.entry, before.entry)
        if self.answer64.state[name].size == 1:  # what it is off, it is as a whole
            entry = max(entry, whole)
        most, most_entry = GROSS, GROSS_ENTRY
        if self.calm and name not in self.cancelled:
            most, most_entry = CALM, max(CALM, TENSORFLOW_MULTIPLE * entry)
        return Error(min(_multiple(whole), most), min(_multiple(entry), most_entry))

    @functools.cached_property
    def of_kind(self) -> dict[str, Error]:
        """TensorFlow's own error by kind: the whole one of all but the worst tenth of
        the tensors, the worst entry."""
        found: dict[str, list[Error]] = {}
        for name, own in self.own.items():
            if not (self.calm and name in self.cancelled):
                found.setdefault(self.kinds[name], []).append(own)
            else:
                found.setdefault(self.kinds[name], [])
        return {
            kind: Error(
                float(np.percentile([own.whole for own in of] or [0.0], 90)),
                max([own.entry for own in of], default=0.0),
            )
            for kind, of in found.items()
        }

    @functools.cached_property
    def _sound(self) -> dict[str, np.ndarray]:
        """Returns {name: which entries have a gradient that float32 has right}.

        An optimizer that divides by the gradient's size makes a whole update of an
        entry's rounding; where there is no gradient, every entry counts.
        """
        found = {}
        for name in self.changed:
            exact, off = self._evidence(name)
            found[name] = np.ones(exact.shape, bool)
            if name in self.answer64.gradients:
                found[name] = off <= GROSS * np.abs(exact)
            if name in self.noise:
                found[name][...] = False
        return found

    def _evidence(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a new value is made from, the gradient or else the update, in
        float64, and how far float32 is off there."""
        if name in self.answer64.gradients:
            exact = np.asarray(self.answer64.gradients[name], np.float64)
            return exact, np.abs(np.asarray(self.answer32.gradients[name]) - exact)
        return self._update(name), self._off(name, self.answer32.state[name])

    def _gross(self, name: str) -> bool:
        exact, off = self._evidence(name)
        return not _rms(off) <= GROSS * _rms(exact)

    def _tiny(self, name: str) -> bool:
        return _rms(self._evidence(name)[0]) <= TINY * self._largest[self.kinds[name]]

    @functools.cached_property
    def _largest(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in self.changed:
            size, kind = _rms(self._evidence(name)[0]), self.kinds[name]
            found[kind] = max(size, found.get(kind, 0.0))
        return found

    def _off(self, name: str, after: np.ndarray) -> np.ndarray:
        expected = self.answer64.state[name]
        off = np.abs(np.asarray(after, np.float64) - expected) - self._rounding(name)
        return np.nan_to_num(np.maximum(off, 0), nan=np.inf)

    def _rounding(self, name: str) -> np.ndarray:
        """Returns what of each entry is float32's rounding."""
        ulp = np.spacing(np.abs(self.answer64.state[name]).astype(np.float32))
        return ulp * self.answer64.ulps.get(name, 1)

    def _update(self, name: str, answer: Answer | None = None) -> np.ndarray:
        after = (answer or self.answer64).state[name]
        return np.abs(np.asarray(after, np.float64) - self.before[name])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _multiple(own: float) -> float:
    return max(STEP_TOLERANCE, TENSORFLOW_MULTIPLE * own)
