"""What every method is: state in, state out, as pure functions of tensors.

A method never touches a variable: it names its state, and its functions take the
present state as a dict of tensors and return the new one. `signatures.py` turns that
into the trainable signatures; the parity gate calls the same functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflite_odl.contract import TensorSpec, check_unique
from tflite_odl.methods.features import Feature

Tensors = Mapping[str, tf.Tensor]
Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class StateTensor:
    """One tensor of the state: its name, role and first value."""

    spec: TensorSpec
    value: Array

    @classmethod
    def of(cls, name: str, value: Any, role: str, about: str = "") -> StateTensor:
        value = np.atleast_1d(np.asarray(value))
        return cls(
            TensorSpec(name, str(value.dtype), value.shape, role, "", about), value
        )


@dataclasses.dataclass(frozen=True)
class Step:
    """What a training step returns.

    Attributes:
      metrics: {output name: [1] or more}.
      state: new values of the tensors that change, by name.
      accepted: [1] bool; where false the step must change no state.
      due: [1] bool; `update` is for steps where it is true too. None: there is none.
      update: like `state`.
    """

    metrics: dict[str, tf.Tensor]
    state: dict[str, tf.Tensor]
    accepted: tf.Tensor
    due: tf.Tensor | None = None
    update: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)


class Method:
    """Base of all methods.

    Attributes:
      name: key in `methods.METHODS`.
      config: a frozen dataclass, written whole into the manifest.
      classes: class names, may be empty.
      parts: the model's inputs.
    """

    name = ""
    config: Any
    classes: tuple[str, ...] = ()
    parts: tuple[Feature, ...] = ()

    def state(self) -> dict[str, StateTensor]:
        """Returns the state by name, in the order of the save signature."""
        tensors = self.state_tensors()
        check_unique("state tensors", [t.spec.name for t in tensors])
        return {tensor.spec.name: tensor for tensor in tensors}

    def state_tensors(self) -> list[StateTensor]:
        raise NotImplementedError(type(self).__name__)

    def features(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the inputs of infer: the model's own, `x` if there is one."""
        raise NotImplementedError(type(self).__name__)

    def inputs(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the inputs of train and evaluate: the features come first."""
        raise NotImplementedError(type(self).__name__)

    def train(self, state: Tensors, inputs: Tensors) -> Step:
        raise NotImplementedError(type(self).__name__)

    def infer(self, state: Tensors, inputs: Tensors) -> dict[str, tf.Tensor]:
        raise NotImplementedError(type(self).__name__)

    def evaluate(self, state: Tensors, inputs: Tensors) -> dict[str, tf.Tensor]:
        raise NotImplementedError(type(self).__name__)

    def proof(self, sample: Any = None) -> Any:
        """Returns the `proof.proof.Proof` of an artifact of this method.

        The proof room is imported only here: a method works without it.

        Args:
          sample: real rows to prove it with, as the method's batches take them.
        """
        raise NotImplementedError(type(self).__name__)

    def hyperparameters(self) -> tuple[str, ...]:
        """Returns the names `configure` takes, each a [1] float32 state tensor."""
        return tuple(
            name for name, t in self.state().items() if t.spec.role == "hyperparameter"
        )
