"""What the skip suite trains: data, nets, and the policies that are compared. NumPy."""

from __future__ import annotations

import dataclasses
import pathlib

RECORDINGS = pathlib.Path(__file__).parents[3] / "shared" / "data"
SIGNS = f"npz:{RECORDINGS}/traffic_sign_tracks.npz"
CIFAR10 = f"npz:{RECORDINGS}/cifar10_jpeg.npz"
PHONE = f"npz:{RECORDINGS}/phone_activity.npz"
BOUNDS = (0.0025, 0.01, 0.03, 0.05, 0.1)
# Random skipping is given the rate that this bound reached with the same seed.
SAME_RATE_AS = "threshold 0.05"
MOST_PERIOD = 200
PLAIN = "full"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to choose rows.

    Attributes:
      name: on the page.
      policy: of `skip`; "full" is the method finetune, which skips nothing.
      settings: what `configure` is given.
      options: further configuration of the artifact.
    """

    name: str
    policy: str
    settings: tuple[tuple[str, float], ...] = ()
    options: tuple[tuple[str, object], ...] = ()

    @property
    def artifact(self) -> str:
        """Variants of the same name here share one artifact."""
        return "-".join([self.policy, *(str(value) for _, value in self.options)])

    @property
    def bounded(self) -> bool:
        """Whether it keeps a bound on the gradient's error."""
        return self.policy == "threshold"


def _bounded(name: str, bounds, **options: object) -> tuple[Variant, ...]:
    given = tuple(options.items())
    return tuple(
        Variant(f"{name} {bound:g}", "threshold", (("error_bound", bound),), given)
        for bound in bounds
    )


UNIFORM = _bounded("threshold", BOUNDS)
GEOMETRIC = _bounded("geometric", (0.05, 0.1), spacing="geometric", norm_means="kept")
BASELINES = (
    Variant("fixed 0.9", "fixed", (("fixed_threshold", 0.9),)),
    Variant("selective 0.5", "selective", (("skip_rate", 0.5),)),
    Variant("infobatch 0.5", "infobatch", (("skip_rate", 0.5),)),
    Variant("random", "random"),
)
ALL = (Variant(PLAIN, "full"), *UNIFORM, *GEOMETRIC, *BASELINES)


@dataclasses.dataclass(frozen=True)
class Case:
    """One net on one dataset.

    Attributes:
      name: unique.
      dataset: as `streams.open` takes it.
      backbone, width: of `models`; width None is the backbone's own.
      epochs: of `full`.
      learning_rate: at the start; it falls along a cosine to 0 at the end.
      budget: "seconds": every variant takes as long as `full`, with more steps where
        these are shorter; "steps": every variant takes as many.
      variants: that are compared.
      batch: rows of a step.
      seeds: how many, each with its own weights and order of rows.
    """

    name: str
    dataset: str
    backbone: str
    epochs: float
    learning_rate: float
    budget: str = "seconds"
    width: int | None = None
    variants: tuple[Variant, ...] = ALL
    batch: int = 32
    seeds: int = 3

    @property
    def artifacts(self) -> list[str]:
        """Names of what the variants run, each once."""
        return list(dict.fromkeys(variant.artifact for variant in self.variants))

    @property
    def net(self) -> str:
        """Cases of the same net, data and batch share artifacts and times."""
        stem = self.dataset.rpartition("/")[2].removesuffix(".npz")
        return f"{stem}-{self.backbone}-{self.width or 'own'}-b{self.batch}"


_FEW = (ALL[0], *UNIFORM[-2:], *GEOMETRIC)
_ALL = (
    Case("digits", "digits", "resnet8", 20, 0.05, seeds=5),
    Case("digits equal-steps", "digits", "resnet8", 20, 0.05, "steps", seeds=5),
    Case(
        "digits resnet20", "digits", "resnet20", 20, 0.05, "steps", None, _FEW, seeds=5
    ),
    Case("signs resnet20", SIGNS, "resnet20", 5, 0.05, "steps", 8, _FEW),
    Case("signs", SIGNS, "resnet8", 5, 0.05, width=8),
    Case("phone", PHONE, "inertial", 40, 0.02),
    Case("cifar10", CIFAR10, "resnet8", 0.5, 0.05, width=8),
)
CASES = {case.name: case for case in _ALL}
