"""What the contrastive suite compares: arms, streams, nets. NumPy."""

from __future__ import annotations

import dataclasses
import pathlib

RECORDINGS = pathlib.Path(__file__).parents[3] / "shared" / "data"
SIGNS = f"npz:{RECORDINGS}/traffic_sign_tracks.npz"
PHONE = f"npz:{RECORDINGS}/phone_activity.npz"
CIFAR10 = f"npz:{RECORDINGS}/cifar10_jpeg.npz"

# Rows of a segment and of what is drawn beside it: 64 views.
SEGMENT = 16
BUFFER = 256
OURS, NONE, FIFO, MIN_RED = "ours", "none", "fifo", "min_red"
UNTRAINED, IID = "untrained", "none, iid"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to use the stream.

    Attributes:
      name: on the page.
      options: of the method, beside those of the case.
      batch: rows of a segment.
      order: of the stream, in place of the case's.
      steps: whether it trains at all.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    batch: int = SEGMENT
    order: str | None = None
    trains: bool = True

    @property
    def artifact(self) -> str:
        """Arms of the same name here share one artifact."""
        return "-".join([str(self.batch), *(str(value) for _, value in self.options)])


def _arm(name: str, **options: object) -> Arm:
    return Arm(name, tuple({"buffer": BUFFER, **options}.items()))


_WITHOUT = (("buffer_policy", "none"),)
POLICIES = (
    _arm(OURS),
    Arm(NONE, _WITHOUT, 2 * SEGMENT),
    _arm(FIFO, buffer_policy="fifo"),
    _arm("reservoir", buffer_policy="reservoir"),
    _arm("random", buffer_policy="random"),
    _arm(MIN_RED, buffer_policy="min_red"),
    # As published: a buffer that is the mini-batch, scores made anew now and then.
    Arm(
        "flip_score",
        (("buffer_policy", "flip_score"), ("buffer", 32), ("rescore_every", 20)),
    ),
)
# Score x mini-batch, the other two corners being ours and the last of these.
ABLATION = (
    _arm("views, buffer_only", minibatch="buffer_only"),
    _arm("flip, buffer_and_new", score="flip", rescore_every=20),
    _arm("flip, buffer_only", score="flip", minibatch="buffer_only", rescore_every=20),
)
OPTIONS = (
    _arm("nt_xent", score="nt_xent"),
    _arm("max_uses 8", max_uses=8),
    _arm("draw_by_score", draw_by_score=True),
)
ENDS = (
    Arm(UNTRAINED, _WITHOUT, 2 * SEGMENT, trains=False),
    Arm(IID, _WITHOUT, 2 * SEGMENT, "iid"),
)
ALL = (*POLICIES, *ABLATION, *OPTIONS, *ENDS)
BARS = (*POLICIES, *ENDS)
# What the bars compare.
DECIDING = (OURS, NONE, FIFO, UNTRAINED)
FEW = tuple(arm for arm in ALL if arm.name in (*DECIDING, MIN_RED, IID))


@dataclasses.dataclass(frozen=True)
class Brief:
    """What of a case is run unless the full study is asked for.

    Attributes:
      seeds: of the arms that decide; 0: the case is left out.
      others: further arms.
      other_seeds: of these.
      passes: in place of the case's.
    """

    seeds: int = 0
    others: tuple[Arm, ...] = ()
    other_seeds: int = 0
    passes: int | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """A net on a stream.

    Attributes:
      name: unique.
      dataset: as `streams.open` takes it.
      order: of the stream, as `orders.parse` reads it.
      backbone: of `models`.
      passes: of arm `ours`; the others take as many seconds.
      arms: that are compared.
      norm: of the backbone.
      rows: of the training split that the stream shows; None: all.
      seeds: in the full study, of the arms that bars are for.
      other_seeds: of the others.
      brief: what is run otherwise.
    """

    name: str
    dataset: str
    order: str
    backbone: str
    passes: int
    arms: tuple[Arm, ...] = ALL
    norm: str = "batch"
    rows: int | None = None
    seeds: int = 5
    other_seeds: int = 3
    brief: Brief = Brief()

    @property
    def net(self) -> str:
        """Cases of the same net and data share artifacts and times."""
        stem = self.dataset.rpartition("/")[2].removesuffix(".npz")
        return f"{stem}-{self.backbone}-{self.norm}"

    def passes_of(self, full: bool) -> int:
        """Returns how often arm `ours` sees the stream."""
        return self.passes if full else self.brief.passes or self.passes

    def seeds_of(self, arm: Arm, full: bool) -> int:
        """Returns how many runs of an arm there are; 0 where it is left out."""
        if full:
            return self.seeds if arm in BARS else self.other_seeds
        if arm.name in DECIDING:
            return self.brief.seeds
        return self.brief.other_seeds if arm in self.brief.others else 0


def _cifar(length: int, arms: tuple[Arm, ...]) -> Case:
    name, order = f"cifar10 stc {length}", f"stc={length}"
    return Case(name, CIFAR10, order, "resnet8", 1, arms, rows=16_000, seeds=3)


_ALL = (
    Case("signs", SIGNS, "tracks", "resnet8", 3, brief=Brief(5, BARS, 1, 2)),
    Case("phone", PHONE, "sessions", "inertial", 10, brief=Brief(5, ALL, 2)),
    Case(
        "phone, group norms",
        PHONE,
        "sessions",
        "inertial",
        10,
        FEW,
        "group",
        brief=Brief(3),
    ),
    Case("signs, group norms", SIGNS, "tracks", "resnet8", 3, FEW, "group", seeds=3),
    Case("signs, file order", SIGNS, "sequential", "resnet8", 1, FEW, seeds=3),
    _cifar(100, ALL),
    _cifar(10, FEW),
    _cifar(500, FEW),
)
CASES = {case.name: case for case in _ALL}
