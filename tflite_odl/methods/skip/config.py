"""The configuration of `skip`."""

from __future__ import annotations

import dataclasses
import math

from tflite_odl.errors import ModelError
from tflite_odl.methods.config import SupervisedConfig

POLICIES = ("threshold", "full", "random", "fixed", "selective", "infobatch")
CHOICES = {
    "policy": POLICIES,
    "spacing": ("uniform", "geometric"),
    "confidence": ("true_label", "max"),
    "gradient_ends": ("head", "probe"),
    "divide": (None, "batch", "kept"),
    "norm_means": ("batch", "kept"),
    "forward": ("shared", "recompute"),
}
# Both ends included; those that are hyper-parameters keep to them on the phone, too.
RANGES = {
    "error_bound": (0, 1e6),
    "intervals": (2, 1000),
    "update_period": (1, 2**20),
    "kappa": (1e-6, 1e6),
    "warm_up": (0, 2**31 - 1),
    "final_full_fraction": (0, 1),
    "keep_skipped": (0, 1),
    "skip_rate": (0, 0.99),
    "fixed_threshold": (0, 1),
}
# The method as published; the defaults keep accuracy far better on images.
PUBLISHED = {"spacing": "uniform", "norm_means": "batch"}
# The baselines as published train on what they keep as on a smaller batch.
DIVIDE_BY_KEPT = ("random", "selective")


@dataclasses.dataclass(frozen=True)
class SkipConfig(SupervisedConfig):
    """Configuration of `skip`; also every field of `SupervisedConfig`.

    Attributes:
      policy: which rows are skipped: "threshold" (the method), or a baseline: "full"
        skips none, "random", "fixed" (threshold), "selective" (Selective-Backprop),
        "infobatch".
      error_bound: largest relative squared error of the gradient, eps.
      intervals: of the confidence, N.
      spacing: of these: "geometric", where the distance to certainty shrinks by the
        same factor from one to the next, to 2^-14 at the last, or "uniform", as
        published, which skips nothing any more once nearly all rows are in the last.
      update_period: steps between two decisions on the threshold, P; `convert` takes
        an epoch of its dataset.
      kappa: safety factor on the estimated error.
      warm_up: steps before anything is skipped.
      final_full_fraction: of `total_steps`, at their end nothing is skipped.
      total_steps: length of the run, where it is known.
      confidence: "true_label" or "max" probability.
      gradient_ends: size of the gradients at both ends of the confidence: "head" from
        the last Dense layer in closed form, "probe" from one more row each step.
      keep_skipped: fraction r of the skipped rows that is kept at random, with
        weight 1 / r; 0 keeps none.
      divide: by the rows of the "batch" or by those "kept"; None takes "batch", and
        "kept" for the baselines that are published so.
      norm_means: what the two means in a batch norm's backward pass are divided by:
        those "kept", or the rows of the "batch", as published (two to five times the
        gradient's error on digits); both are exact where nothing is skipped.
      forward: what backward needs of the kept rows is "shared" with the whole batch's
        forward pass, or "recompute": made again, in less memory, as fast where less
        than a quarter of the rows is kept, else slower.
      buckets: fractions of the batch that backward is built for, and the whole.
      skip_rate: of the policies "random", "selective" and "infobatch".
      fixed_threshold: of the policy "fixed".
    """

    policy: str = "threshold"
    error_bound: float = 0.05
    intervals: int = 20
    spacing: str = "geometric"
    update_period: int = 200
    kappa: float = 2.0
    warm_up: int = 0
    final_full_fraction: float = 0.0
    total_steps: int | None = None
    confidence: str = "true_label"
    gradient_ends: str = "head"
    keep_skipped: float = 0.0
    divide: str | None = None
    norm_means: str = "kept"
    forward: str = "shared"
    buckets: tuple[float, ...] = (0.25, 0.5)
    skip_rate: float = 0.5
    fixed_threshold: float = 0.9

    def __post_init__(self) -> None:
        if self.loss is None:
            object.__setattr__(self, "loss", "sparse_cross_entropy")
        super().__post_init__()
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ModelError(
                    f"{name} is {getattr(self, name)!r}, needs one of {allowed}"
                )
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ModelError(f"{name} is {value}, needs {low} to {high}")
        plain = {"loss": "sparse_cross_entropy", "label_smoothing": 0.0}
        plain |= {"class_weights": (), "sample_weights": False}
        other = {n: v for n in plain if (v := getattr(self, n)) != plain[n]}
        if other:
            raise ModelError(f"skip has no {other}: use {plain}, or method finetune")
        if self.final_full_fraction and not self.total_steps:
            raise ModelError("final_full_fraction needs total_steps")
        buckets = tuple(sorted(map(float, self.buckets)))
        if not all(0 < fraction < 1 for fraction in buckets):
            raise ModelError(f"buckets are {buckets}, need fractions between 0 and 1")
        object.__setattr__(self, "buckets", buckets)
        if self.divide is None:
            kept = self.policy in DIVIDE_BY_KEPT
            object.__setattr__(self, "divide", "kept" if kept else "batch")

    @property
    def full_from(self) -> int | None:
        """The step from which nothing is skipped any more."""
        if not self.final_full_fraction:
            return None
        return round(self.total_steps * (1 - self.final_full_fraction))

    def bucket_sizes(self, batch_size: int) -> list[int]:
        """Returns the rows backward is built for, ascending, the whole batch last."""
        sizes = {math.ceil(fraction * batch_size) for fraction in self.buckets}
        return sorted(sizes | {batch_size})
