"""What the skip suite trains: data, nets, and the policies that are compared."""

from __future__ import annotations

import dataclasses
import pathlib

RECORDINGS = pathlib.Path(__file__).parents[3] / "shared" / "data"
BOUNDS = (0.0025, 0.01, 0.03, 0.05, 0.1)
# Random skipping is given the rate that this bound reached with the same seed.
SAME_RATE_AS = 0.05


@dataclasses.dataclass(frozen=True)
class Case:
    """One net on one dataset; a decision on the threshold every epoch."""

    name: str
    dataset: str
    backbone: str
    epochs: float
    batch: int = 32
    learning_rate: float = 0.05
    test_rows: int = 2500


CASES = {
    case.name: case
    for case in (
        Case("digits", "digits", "resnet8", 15),
        Case("signs", f"npz:{RECORDINGS}/traffic_sign_tracks.npz", "resnet8", 5),
        Case("cifar10", f"npz:{RECORDINGS}/cifar10_jpeg.npz", "resnet8", 5),
        Case("phone", f"npz:{RECORDINGS}/phone_activity.npz", "inertial", 5),
    )
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A policy with its setting; `setting` is a name that `configure` knows."""

    policy: str
    setting: str = ""
    value: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.policy} {self.value:g}" if self.setting else self.policy


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("full"),
        *(Variant("threshold", "error_bound", bound) for bound in BOUNDS),
        Variant("fixed", "fixed_threshold", 0.9),
        Variant("selective", "skip_rate", 0.5),
        Variant("infobatch", "skip_rate", 0.5),
        Variant("random"),
    )
}
