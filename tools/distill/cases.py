"""What the distill suite trains: data, nets, and the arms that are compared. NumPy."""

from __future__ import annotations

import dataclasses
import pathlib

RECORDINGS = pathlib.Path(__file__).parents[3] / "shared" / "data"
SIGNS = f"npz:{RECORDINGS}/traffic_sign_tracks.npz"
CIFAR10 = f"npz:{RECORDINGS}/cifar10_jpeg.npz"
PHONE = f"npz:{RECORDINGS}/phone_activity.npz"
FIXED = (1, 2, 4, 8)
# Steps until a learnable temperature learns at its full strength.
CURRICULUM = 400

Pairs = tuple[tuple[str, object], ...]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to train the student.

    Attributes:
      name: on the page.
      options: of `distill`'s configuration; "twin" in place of them is the real-valued
        twin, trained by `finetune`.
      settings: what `configure` is given.
    """

    name: str
    options: Pairs = ()
    settings: Pairs = ()

    @property
    def artifact(self) -> str:
        """Arms of the same name here share one artifact."""
        return "-".join(f"{name}_{value}" for name, value in self.options) or "ours"

    @property
    def real(self) -> bool:
        """Whether nothing is quantized and nobody teaches."""
        return self.artifact == "twin_real"

    @property
    def alone(self) -> bool:
        """Whether only labels teach."""
        return self.real or dict(self.settings).get("teacher_weight") == 0

    @property
    def online(self) -> bool:
        """Whether the teacher learns too."""
        return ("teacher", "online") in self.options


def _arm(name: str, settings: dict | None = None, **options: object) -> Arm:
    return Arm(name, tuple(options.items()), tuple((settings or {}).items()))


NO_ENTROPY = {"entropy_weight": 0.0}
ALONE = _arm("student alone", {"label_weight": 1, "teacher_weight": 0, **NO_ENTROPY})
HINTON = tuple(
    _arm(f"T = {t}", {"max_temperature": t, **NO_ENTROPY}, temperature="fixed")
    for t in FIXED
)
OURS = _arm("ours")
SWITOKD = _arm(
    "SwitOKD",
    {
        "max_temperature": 1,
        "label_weight": 1,
        "teacher_weight": 1,
        "mutual_weight": 1,
        **NO_ENTROPY,
    },
    teacher="online",
    temperature="fixed",
)
CLIPPED = tuple(
    _arm(f"ours, bound {bound}", clipping=bound)
    for bound in ("one", "deviations", "largest")
)
ONLINE = (
    SWITOKD,
    _arm("ours, online", teacher="online"),
    _arm("ours, online, gap rule off", teacher="online", gap_rule=False),
)
REAL = _arm("real-valued twin", twin="real")
ALL = (
    ALONE,
    *HINTON,
    _arm("CTKD", NO_ENTROPY, temperature="learnable", cosine_steps=CURRICULUM),
    _arm(
        "standardised, T = 4",
        {"max_temperature": 4, **NO_ENTROPY},
        temperature="fixed",
        standardize=True,
    ),
    OURS,
    *(_arm(f"ours, u = {u}", drive=u) for u in ("distance", "teacher", "maximum")),
    *CLIPPED,
    *ONLINE,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One student on one dataset.

    Attributes:
      name: unique.
      dataset: as `streams.open` takes it, or a story of `rows`.
      backbone, width: of the student; width None is the backbone's own.
      steps: of every arm.
      seeds: how many, each with its own weights and order of rows.
      arms: that are compared.
      teacher, teacher_width, teacher_epochs: of the frozen teacher, trained once.
      batch: rows of a step.
      learning_rate: of Adam at the start; it falls along a cosine to 0 at the end.
      labels: how many rows to learn from have one; None: all.
      story: whether the student first learns from other rows, with labels, and then
        from new ones without.
    """

    name: str
    dataset: str
    backbone: str
    steps: int
    seeds: int
    arms: tuple[Arm, ...] = ALL
    width: int | None = None
    teacher: str = "resnet8"
    teacher_width: int | None = None
    teacher_epochs: int = 20
    batch: int = 32
    learning_rate: float = 3e-3
    labels: int | None = None
    story: bool = False

    @property
    def artifacts(self) -> list[Arm]:
        """An arm for each artifact."""
        return list({arm.artifact: arm for arm in reversed(self.arms)}.values())

    @property
    def base(self) -> Arm:
        """What the other arms are compared with."""
        return REAL if REAL in self.arms and not self.story else ALONE

    @property
    def taught(self) -> str:
        """Cases of the same name here share a frozen teacher."""
        of = pathlib.PurePath(self.dataset).stem
        width = self.teacher_width or "own"
        return f"{of} {self.teacher} {width} {self.teacher_epochs}".replace(" ", "_")


_TEACHERS = (ALONE, *HINTON, OURS)
_SOME = (ALONE, HINTON[0], HINTON[2], OURS)
_BOUNDS = (*_SOME, *CLIPPED)
_SIGNS = (ALONE, *HINTON, SWITOKD, OURS, *CLIPPED, *ONLINE[1:])
_ACTIVITY = {"backbone": "bireal8", "teacher": "inertial", "teacher_epochs": 10}
_SHORT = (
    Case(
        "phone story",
        "phone story",
        steps=600,
        seeds=5,
        arms=(REAL, *_SOME),
        story=True,
        **_ACTIVITY,
    ),
    Case("phone activity", PHONE, steps=600, seeds=5, arms=_BOUNDS, **_ACTIVITY),
    Case("digits story", "digits story", "resnet8", 600, 5, (OURS,), story=True),
    Case("digits", "digits", "resnet8", 860, 10),
    Case("digits 63 labels", "digits", "resnet8", 860, 10, _TEACHERS, labels=63),
)
# On images of 32 x 32 binary students need thousands of steps: hours.
_LONG = (
    Case("signs", SIGNS, "resnet8", 1400, 5, _SIGNS, 8),
    Case(
        "signs bireal20", SIGNS, "bireal20", 4000, 3, (REAL, OURS), teacher="resnet20"
    ),
    Case("cifar10", CIFAR10, "resnet8", 1560, 3, (ALONE, HINTON[2], OURS), 8),
)
CASES = {case.name: case for case in (*_SHORT, *_LONG)}
# What is run by itself fits an hour of one core.
DEFAULT = tuple(case.name for case in _SHORT)
FULL = tuple(CASES)
