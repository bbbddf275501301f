"""What a network, a learner and supervised training can be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tflite_odl.builtin import losses, optimizers
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.builtin.schedules import Schedule
from tflite_odl.errors import ModelError
from tflite_odl.methods.augmentation import AugmentConfig


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """How a network is read and run.

    Attributes:
      trainable: "as_saved", the layers that Keras trains; "all", "head", "last:K", or a
        regular expression on layer names, whatever the model says.
      batch_norm: "batch" statistics in trainable layers, as Keras; or "frozen".
      target: processor the lowerings are chosen for: "portable", or "avx512".
      chunk_mb: activations larger than this train in chunks of the batch, so that they
        stay in the cache; 0 never cuts.
      preprocessing: of every input, or by the input's name.
      feature_limit: a row with a preprocessed feature beyond +- this is a bad row, for
        it would harm moving statistics for a long time.
      seed: of the graph's random generator.
    """

    trainable: str = "as_saved"
    batch_norm: str = "batch"
    target: str = "portable"
    chunk_mb: float = 1.0
    preprocessing: Preprocessing | Mapping[str, Preprocessing] = dataclasses.field(
        default_factory=Preprocessing
    )
    feature_limit: float = 1e6
    seed: int = 0

    def __post_init__(self) -> None:
        check_finite("chunk_mb", self.chunk_mb)
        if not 0 < self.feature_limit <= 1e18:
            raise ModelError(
                f"feature_limit is above 0 and at most 1e18, got {self.feature_limit}"
            )


LEARNER_RANGES = {
    "learning_rate": optimizers.RANGES["learning_rate"],
    "clip_norm": (1e-12, 1e18),
    "clip_weight_norm": (1e-12, 1e18),
    "clip_value": (1e-12, 1e18),
}


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """How gradients move weights.

    Attributes:
      optimizer: key of `optimizers.OPTIMIZERS`; left out, what the model was compiled
        with, its numbers, schedule and limits included.
      learning_rate: None takes the optimizer's own default.
      hyperparameters: the optimizer's others, by name, where they differ from its
        defaults; `configure` changes them all.
      schedule: of the learning rate; a kind alone takes the others' defaults.
      accumulate: batches whose mean gradient makes one update; their gradients are
        summed in the state, one more slot for each weight if above 1.
      clip_norm: largest global norm of the gradients; None does not clip, and then
        `configure` cannot switch it on.
      clip_weight_norm: largest norm of each weight's gradient; likewise.
      clip_value: largest absolute value in a gradient; likewise. Where there are
        several, values are clipped first, the global norm last.
    """

    optimizer: str = "sgd"
    learning_rate: float | None = None
    hyperparameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    schedule: Schedule | str = dataclasses.field(default_factory=Schedule)
    accumulate: int = 1
    clip_norm: float | None = None
    clip_weight_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.schedule, str):
            object.__setattr__(self, "schedule", Schedule(self.schedule))
        check_known("optimizer", self.optimizer, optimizers.OPTIMIZERS)
        for name, (_, high) in LEARNER_RANGES.items():
            value = getattr(self, name)
            if value is not None and not 0 < value <= high:
                raise ModelError(f"{name} is above 0, at most {high:g}, got {value}")
        if self.accumulate < 1:
            raise ModelError(f"accumulate is {self.accumulate}, needs 1 batch or more")
        self.make_optimizer()

    def make_optimizer(self) -> optimizers.Optimizer:
        """Raises ModelError for a hyper-parameter the optimizer does not have."""
        kind = optimizers.OPTIMIZERS[self.optimizer]
        known = kind.settable()
        given: dict[str, Any] = dict(self.hyperparameters)
        if self.learning_rate is not None:
            given["learning_rate"] = self.learning_rate
        shown = {name: list(optimizers.RANGES[name]) for name in known}
        fits = all(
            name in known and shown[name][0] <= value <= shown[name][1]
            for name, value in given.items()
        )
        if not fits or given.get("momentum") == 0:
            raise ModelError(
                f"optimizer {self.optimizer!r} has hyper-parameters from - to {shown}, "
                f"momentum above 0; got {given}"
            )
        return kind(**given)


@dataclasses.dataclass(frozen=True)
class SupervisedConfig(AugmentConfig, LearnerConfig, NetworkConfig):
    """Supervised training; also every field of `NetworkConfig`, `LearnerConfig` and
    `AugmentConfig`.

    Attributes:
      loss: key of `losses.LOSSES`; it says what labels are. None: what the model was
        compiled with, else what its softmax or sigmoid says.
      optimizer_state: "fresh", or "saved": slots and iteration go on from the file.
      label_smoothing: of the cross-entropies.
      class_weights: a factor on the loss of each class, none = 1 each.
      sample_weights: whether train and evaluate take `weight`, a factor on each row.
      noise: amplitude of uniform noise added to the preprocessed inputs in training.
    """

    loss: str | None = None
    optimizer_state: str = "fresh"
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    sample_weights: bool = False
    noise: float = 0.0

    def __post_init__(self) -> None:
        for kind in (NetworkConfig, LearnerConfig, AugmentConfig):
            kind.__post_init__(self)
        object.__setattr__(self, "class_weights", tuple(self.class_weights))
        if self.loss is not None:
            check_known("loss", self.loss, losses.LOSSES)
        check_known("optimizer_state", self.optimizer_state, ("fresh", "saved"))
        check_finite("noise", self.noise)

    def make_loss(self, outputs: int) -> losses.Loss:
        """Returns the loss for a model with so many outputs.

        Raises:
          ModelError: no loss is set, or it has no meaning for these outputs.
        """
        if self.loss is None:
            raise ModelError(f"set loss to one of {', '.join(losses.LOSSES)}")
        kind = losses.LOSSES[self.loss]
        return kind(outputs, self.label_smoothing, self.class_weights)


def check_known(name: str, value: str, known: Collection[str]) -> None:
    """Raises ModelError unless an option is one of those there are."""
    if value not in known:
        raise ModelError(f"{name} {value!r} is not one of {list(known)}")


def check_finite(name: str, value: float) -> None:
    """Raises ModelError unless a size is 0 or more."""
    if not 0 <= value < np.inf:
        raise ModelError(f"{name} must be finite, 0 or more; got {value}")
