"""What a network, a learner and supervised training can be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
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
        with, its numbers, schedule and limits included; else adam for distill, and
        for the others
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
      loss: key of `losses.LOSSES`; it says what labels are. Of several outputs one for
        each, as "cls:huber,box:mean_squared_error", or one for all. None: what the
        model was compiled with, else what its softmax or sigmoid says.
      loss_weights: factor on the loss of an output, by its name; 1 where there is none.
      optimizer_state: "fresh", or "saved": slots and iteration go on from the file.
      label_smoothing: of the cross-entropies.
      class_weights: a factor on the loss of each class, none = 1 each.
      huber_delta: error from which on the huber loss is a straight line.
      sample_weights: whether train and evaluate take `weight`, a factor on each row.
      noise: amplitude of uniform noise added to the preprocessed inputs in training.
    """

    loss: str | None = None
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    optimizer_state: str = "fresh"
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    huber_delta: float = 1.0
    sample_weights: bool = False
    noise: float = 0.0

    def __post_init__(self) -> None:
        for kind in (NetworkConfig, LearnerConfig, AugmentConfig):
            kind.__post_init__(self)
        object.__setattr__(self, "class_weights", tuple(self.class_weights))
        for loss in [] if self.loss is None else _by_output(self.loss).values():
            check_known("loss", loss, losses.LOSSES)
        for weight in self.loss_weights.values():
            check_finite("loss_weights", weight)
        check_known("optimizer_state", self.optimizer_state, ("fresh", "saved"))
        check_finite("noise", self.noise)

    def loss_of(self, outputs: Sequence[str]) -> dict[str, str]:
        """Returns {output name: key of `losses.LOSSES`}.

        Raises:
          ModelError: an output has none, or a name is none of an output.
        """
        told = _by_output(self.loss or "")
        if "" in told:
            return dict.fromkeys(outputs, told[""])
        if told.keys() != set(outputs):
            raise ModelError(
                f"set loss to one of {', '.join(losses.LOSSES)}, for each of the "
                f"outputs {list(outputs)}; got {self.loss!r}"
            )
        return {name: told[name] for name in outputs}

    def make_loss(
        self, shapes: Mapping[str, tuple[int, ...]]
    ) -> losses.Loss | losses.Several:
        """Returns the loss for a model.

        Args:
          shapes: {output name: shape without the batch}.

        Raises:
          ModelError: no loss is set, or it has no meaning for these outputs.
        """
        unknown = sorted(set(self.loss_weights) - set(shapes))
        if unknown:
            raise ModelError(
                f"loss_weights are for {unknown}, the outputs are {list(shapes)}"
            )
        kinds = {n: losses.LOSSES[k] for n, k in self.loss_of(list(shapes)).items()}
        options = {name: getattr(self, name) for name in losses.OPTIONS}
        if len(kinds) == 1:
            ((name, kind),) = kinds.items()
            return kind(shapes[name], **options)
        # An option is of the losses that have it; where none has, the first refuses.
        known = {option for kind in kinds.values() for option in kind.options}
        parts = {}
        for name, kind in kinds.items():
            others = known.difference(kind.options)
            own = {n: value for n, value in options.items() if n not in others}
            parts[name] = kind(shapes[name], **own)
        weights = {name: float(self.loss_weights.get(name, 1.0)) for name in parts}
        return losses.Several(parts, weights)


def _by_output(loss: str) -> dict[str, str]:
    """Returns {output name: loss} of "output:loss,..."; {"": loss} of one for all."""
    if ":" not in loss:
        return {"": loss} if loss else {}
    pairs = (part.partition(":") for part in loss.split(","))
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def check_known(name: str, value: str, known: Collection[str]) -> None:
    """Raises ModelError unless an option is one of those there are."""
    if value not in known:
        raise ModelError(f"{name} {value!r} is not one of {list(known)}")


def check_finite(name: str, value: float) -> None:
    """Raises ModelError unless a size is 0 or more."""
    if not 0 <= value < np.inf:
        raise ModelError(f"{name} must be finite, 0 or more; got {value}")
