"""Whether an engine learns what TensorFlow learns: its losses against tf.function's.

Compared are the loss before and after the first update, same weights and batch; later
steps of some nets are chaotic. Errors are relative to the first loss.
"""

from __future__ import annotations

import dataclasses

from environments import REFERENCE

STEPS = 2
# Float32 sums in another order: the engines' first losses differ by 4e-7 or less.
LEAST_TOLERANCE = 1e-4
# One of four twins is a rough measure of chaos, so some times its distance.
TWIN_FACTOR = 4.0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far an engine's losses are off, what is allowed, and whether they fall."""

    errors: tuple[float, ...]
    tolerances: tuple[float, ...]
    falls: bool

    @property
    def holds(self) -> bool:
        near = all(e <= t for e, t in zip(self.errors, self.tolerances))
        return near and self.falls


def agreements(records: list[dict]) -> dict[tuple[str, str], Agreement]:
    """Returns {(case, engine): its worst agreement over threads and rounds}.

    Cases without a record of tf.function are left out: nothing vouches for them.
    """
    learned = [r for r in records if "losses" in r]
    references = {r["case"]: r for r in learned if r["engine"] == REFERENCE}
    found: dict[tuple[str, str], list[Agreement]] = {}
    for record in learned:
        if record["case"] in references:
            agreement = _compare(record["losses"], references[record["case"]])
            found.setdefault((record["case"], record["engine"]), []).append(agreement)
    return {key: min(each, key=_badness) for key, each in found.items()}


def _compare(losses: list[float], reference: dict) -> Agreement:
    wanted, twins = reference["losses"], reference["twin_losses"]
    chaos = [max(abs(twin[k] - wanted[k]) for twin in twins) for k in range(STEPS)]
    allowed = [max(LEAST_TOLERANCE, TWIN_FACTOR * c / wanted[0]) for c in chaos]
    errors = [abs(losses[k] - wanted[k]) / wanted[0] for k in range(STEPS)]
    # NaN is neither near nor falling: comparisons with it are false.
    return Agreement(tuple(errors), tuple(allowed), losses[-1] < losses[0])


def _badness(agreement: Agreement) -> tuple[bool, float]:
    return agreement.holds, -max(agreement.errors)
