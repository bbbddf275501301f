"""The configuration of `contrastive`."""

from __future__ import annotations

import dataclasses

from tflite_odl.errors import ModelError
from tflite_odl.methods.augmentation import NONE, AugmentConfig
from tflite_odl.methods.config import LearnerConfig, NetworkConfig, check_known

NO_BUFFER, FLIP_SCORE, RESERVOIR, MIN_RED = "none", "flip_score", "reservoir", "min_red"
POLICIES = ("top_score", "fifo", RESERVOIR, "random", MIN_RED, FLIP_SCORE, NO_BUFFER)
# Those that keep what has the highest stored score.
SCORED = ("top_score", FLIP_SCORE)
VIEWS, FLIP, NT_XENT = "training_views", "flip", "nt_xent"
SCORES = (VIEWS, FLIP, NT_XENT)
AND_NEW, ONLY = "buffer_and_new", "buffer_only"
MINIBATCHES = (AND_NEW, ONLY)
# Both ends included; tau keeps to it on the phone, too.
TAU = (0.01, 100.0)
# Whole numbers, the least of each.
LEAST = {
    "buffer": 0,
    "replay": 1,
    "rescore_every": 0,
    "max_uses": 0,
    "projector_width": 1,
    "projection": 1,
    "enroll": 1,
    "neighbours": 0,
}


@dataclasses.dataclass(frozen=True)
class ContrastiveConfig(AugmentConfig, LearnerConfig, NetworkConfig):
    """Configuration of `contrastive`; also every field of `NetworkConfig`,
    `LearnerConfig` and `AugmentConfig`.

    Attributes:
      buffer: items that the buffer holds, N_b; 0 = none: streaming SimCLR.
      replay: items of it in a mini-batch, r; None: as many as new ones, n.
      buffer_policy: which of buffer and new items stay: "top_score", "fifo",
        "reservoir", "random", "min_red" (minimum redundancy), "flip_score" (Wu et al.,
        2021), or "none", which has no buffer.
      score: what an item's score is made of: "training_views", 1 - cos of its two views
        in training, which cost nothing; "nt_xent", its own terms of the loss; "flip",
        1 - cos of the item and its mirror image, by forward passes of its own. None:
        "flip" for flip_score, else "training_views".
      minibatch: "buffer_and_new", drawn items and the whole segment; or "buffer_only",
        items drawn after the selection. None: "buffer_only" for flip_score.
      draw_by_score: whether items with higher scores are drawn more often.
      rho: share of an item's old score that is left when it is scored again.
      rescore_every: steps after which the scores of all items are made anew, for score
        "flip"; 0 = never.
      max_uses: an item leaves after so many mini-batches; 0 = never for that.
      tau: temperature of the loss; None: .5 for images, .1 for sensors.
      projector_width: of the projector's hidden layer.
      projection: of its output.
      enroll: labelled items that are kept to tell classes by.
      neighbours: of them decide on a class; 0: the nearest mean of a class does.
    """

    buffer: int = 256
    replay: int | None = None
    buffer_policy: str = "top_score"
    score: str | None = None
    minibatch: str | None = None
    draw_by_score: bool = False
    rho: float = 0.5
    rescore_every: int = 0
    max_uses: int = 0
    tau: float | None = None
    projector_width: int = 128
    projection: int = 64
    enroll: int = 64
    neighbours: int = 0

    def __post_init__(self) -> None:
        for kind in (AugmentConfig, LearnerConfig, NetworkConfig):
            kind.__post_init__(self)
        published = self.buffer_policy == FLIP_SCORE
        for name, of_wu, usual in (
            ("score", FLIP, VIEWS),
            ("minibatch", ONLY, AND_NEW),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, of_wu if published else usual)
        if self.buffer_policy == NO_BUFFER:
            object.__setattr__(self, "buffer", 0)
        self._check_values()
        self._check_effects()

    def _check_values(self) -> None:
        for name, known in (
            ("buffer_policy", POLICIES),
            ("score", SCORES),
            ("minibatch", MINIBATCHES),
        ):
            check_known(name, getattr(self, name), known)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ModelError(f"{name} is {value}, needs {least} or more")
        if not 0 <= self.rho <= 1:
            raise ModelError(f"rho is {self.rho}, needs 0 to 1")
        if self.tau is not None and not TAU[0] <= self.tau <= TAU[1]:
            raise ModelError(f"tau is {self.tau}, needs {TAU[0]} to {TAU[1]}")
        if self.max_uses == 1:
            raise ModelError("max_uses=1 would let no item stay: give 2 or more, or 0")
        if self.neighbours > self.enroll:
            raise ModelError(
                f"{self.neighbours} neighbours of {self.enroll} enrolled items"
            )
        if self.augment == NONE:
            raise ModelError("contrastive needs views that differ: not augment=none")

    def _check_effects(self) -> None:
        """Raises ModelError for an option that would change nothing."""
        if not self.buffer and (self.replay or self.minibatch == ONLY):
            raise ModelError("without a buffer nothing is drawn: leave replay out")
        if self.replay and self.replay > self.buffer:
            raise ModelError(f"replay {self.replay} of a buffer of {self.buffer}")
        if self.score != VIEWS and not self.scored:
            raise ModelError(f"nothing goes by the score {self.score!r} here")
        if self.rescore_every and not (self.score == FLIP and self.buffer):
            raise ModelError("rescore_every is for score='flip' with a buffer")
        if self.draw_by_score and self.buffer_policy == RESERVOIR:
            raise ModelError("a reservoir keeps no scores to draw by")

    @property
    def scored(self) -> bool:
        """Whether anything goes by stored scores."""
        by_score = self.buffer_policy in SCORED or self.draw_by_score
        return bool(self.buffer) and by_score
