"""Gradients in, new weights out: what is between a backward pass and the state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import optimizers, schedules
from tflite_odl.builtin.constraints import Constraint
from tflite_odl.methods.base import Change, StateTensor, Tensors
from tflite_odl.methods.config import LEARNER_RANGES, LearnerConfig

CLIPS = ("clip_norm", "clip_weight_norm", "clip_value")
RANGES = {**optimizers.RANGES, **schedules.RANGES, **LEARNER_RANGES}


@dataclasses.dataclass(frozen=True)
class Learned:
    """What the gradients of one batch come to.

    Attributes:
      norm: [1], global norm of the mean gradient of the group of batches so far.
      news: {state name: value} to take at every accepted batch: sums of gradients.
      update: {state name: value} of weights and slots, to take where it is due.
      due: [1] bool, whether the group is complete; None: each batch is a group.
    """

    norm: tf.Tensor
    news: dict[str, tf.Tensor]
    update: dict[str, tf.Tensor]
    due: tf.Tensor | None

    def changes(self, always: Tensors) -> list[Change]:
        """Returns the changes of an accepted batch.

        Args:
          always: {state name: value}, what else changes at every accepted batch.
        """
        if self.due is None:
            return [Change({**always, **self.news, **self.update})]
        return [Change({**always, **self.news}), Change(self.update, self.due)]


class Learner:
    """Optimizer, schedule, clipping and accumulation of some weights.

    Args:
      config: which of them, with their first values.
      weights: {state name: first value} of the weights that learn.
      prefix: of its hyper-parameters' names, where a method has several learners.
      constraints: {state name: what the weight is brought to after each update}.
    """

    def __init__(
        self,
        config: LearnerConfig,
        weights: Mapping[str, np.ndarray],
        prefix: str = "",
        constraints: Mapping[str, Constraint] = MappingProxyType({}),
    ) -> None:
        self.config, self.weights, self.prefix = config, dict(weights), prefix
        self.constraints = constraints
        self.optimizer = config.make_optimizer()
        self.saved: dict[str, np.ndarray] = {}

    def resume(self, slots: Mapping[str, np.ndarray]) -> None:
        """Begins with slots, by name, that were saved before; others stay zeros."""
        self.saved = dict(slots)

    def state_tensors(self) -> list[StateTensor]:
        """Returns the slots and the hyper-parameters."""
        of = StateTensor.of
        return [
            *(of(name, value, "slot") for name, value in self.slots().items()),
            *(
                StateTensor.setting(self.prefix + name, value, RANGES[name])
                for name, value in self.hyperparameters().items()
            ),
        ]

    def slots(self) -> dict[str, np.ndarray]:
        """Returns {slot name: first value}, zeros where none was saved."""
        slots = self.optimizer.initial(self.weights)
        if self.config.accumulate > 1:
            slots |= optimizers.initial_sums(self.weights)
        return {name: self.saved.get(name, zeros) for name, zeros in slots.items()}

    def hyperparameters(self) -> dict[str, float]:
        """Returns what `configure` can change, by name without the prefix."""
        settings = self.optimizer.hyperparameters()
        settings |= self.config.schedule.hyperparameters()
        limits = {name: getattr(self.config, name) for name in CLIPS}
        return settings | {n: limit for n, limit in limits.items() if limit is not None}

    def learn(
        self, state: Tensors, gradients: Tensors, batches: tf.Tensor, done: tf.Tensor
    ) -> Learned:
        """Returns what one batch's gradients come to: gathered, clipped, applied.

        Args:
          state: before the batch.
          gradients: {state name of a weight: gradient} of this batch.
          batches: [1] int32, accepted before this one.
          done: [1] int32, updates before this one; the schedule goes by it.
        """
        every, state = self.config.accumulate, self._with_settings(state)
        group = optimizers.gather(gradients, state, batches, every)
        norm = tf.sqrt(optimizers.squared_norm(group.mean))
        mean = self._clipped(group.mean, norm, state)
        rate = self.config.schedule.rate(state, done)
        update = self.optimizer.update(mean, {**state, "learning_rate": rate}, done)
        for name, constraint in self.constraints.items():
            update[name] = constraint(update[name])
        return Learned(norm, group.sums, update, None if every == 1 else group.due)

    def _clipped(self, gradients: Tensors, norm: tf.Tensor, state: Tensors) -> Tensors:
        """Returns the gradients within the limits that there are.

        Args:
          gradients: {state name of a weight: gradient}.
          norm: [1], their global norm.
          state: with this learner's settings.
        """
        before, config = gradients, self.config
        if config.clip_value is not None:
            gradients = optimizers.clip_values(gradients, state["clip_value"])
        if config.clip_weight_norm is not None:
            gradients = optimizers.clip_each(gradients, state["clip_weight_norm"])
        if config.clip_norm is None:
            return gradients
        if gradients is not before:
            norm = tf.sqrt(optimizers.squared_norm(gradients))
        return optimizers.clip(gradients, norm, state["clip_norm"])

    def _with_settings(self, state: Tensors) -> Tensors:
        """Returns the state with this learner's settings under their plain names."""
        if not self.prefix:
            return state
        names = self.hyperparameters()
        return {**state, **{name: state[self.prefix + name] for name in names}}
