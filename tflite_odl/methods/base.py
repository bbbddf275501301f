"""What every method is: state in, state out, as pure functions of tensors.

A method never touches a variable. It names its state and its entries; an entry takes
the present state and its inputs and says what comes out and what changes.
`signatures.py` turns that into the trainable signatures; the parity gate calls the
same functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
    def of(
        cls,
        name: str,
        value: Any,
        role: str,
        about: str = "",
        between: tuple[float | None, float | None] = (None, None),
    ) -> StateTensor:
        """Returns a tensor of the state.

        Args:
          name: of it.
          value: its first value; a single number becomes [1].
          role: one of `contract.ROLES`.
          about: for people.
          between: the least and the largest number that it can hold, which a host
            checks before it restores a state: an index must name its range. Whole
            counters are never negative.
        """
        value = np.atleast_1d(np.asarray(value))
        if role == "counter" and value.dtype == np.int32 and between == (None, None):
            between = (0, None)
        low, high = (end if end is None else float(end) for end in between)
        about = TensorSpec(
            name, str(value.dtype), value.shape, role, "", about, low=low, high=high
        )
        return cls(about, value)

    @classmethod
    def setting(
        cls, name: str, value: float, between: tuple[float, float]
    ) -> StateTensor:
        """Returns a hyper-parameter, which `configure` sets within its range."""
        first = np.array([value], np.float32)
        low, high = map(float, between)
        role = "hyperparameter"
        return cls(TensorSpec(name, "float32", (1,), role, low=low, high=high), first)


@dataclasses.dataclass(frozen=True)
class Change:
    """New values of some tensors of the state, taken together or not at all.

    Attributes:
      news: {state name: value}.
      when: [1] bool, asked for beside the acceptance of the call, for instance that a
        group of batches is complete; None asks for nothing more.
    """

    news: Mapping[str, tf.Tensor]
    when: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call of an entry returns, and what it leaves behind.

    Attributes:
      outputs: {output name: tensor of rank 1 or more}.
      changes: of the state; no tensor is in two of them.
      accepted: [1] bool; where it is false the call must change no state.
    """

    outputs: dict[str, tf.Tensor]
    changes: Sequence[Change] = ()
    accepted: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One signature of a method.

    Attributes:
      name: of the signature.
      inputs: what a call takes, features first.
      run: (state, inputs), both by name -> Outcome.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    run: Callable[[Tensors, Tensors], Outcome]


@dataclasses.dataclass(frozen=True)
class Serving:
    """What the serving twin of a method computes.

    Attributes:
      network: a `methods.network.Network`, run in inference with constant weights.
      finish: its output [N, ...] -> outputs of `infer`, by name.
    """

    network: Any
    finish: Callable[[tf.Tensor], dict[str, tf.Tensor]]


class Method:
    """Base of all methods.

    Attributes:
      name: key in `methods.METHODS`.
      config: a frozen dataclass, written whole into the manifest.
      classes: class names, may be empty.
      features: the inputs an app feeds, which the host preprocesses in no way.
      bakes: whether a serving twin can be made, whose weights a host puts in place.
      notes: lines for the user, on what was taken from where.
    """

    name = ""
    bakes = True
    notes: tuple[str, ...] = ()
    config: Any
    classes: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()

    def state(self) -> dict[str, StateTensor]:
        """Returns the state by name, in the order of the save signature."""
        tensors = self.state_tensors()
        check_unique("state tensors", [t.spec.name for t in tensors])
        return {tensor.spec.name: tensor for tensor in tensors}

    def state_tensors(self) -> list[StateTensor]:
        raise NotImplementedError(type(self).__name__)

    def entries(self, batch_size: int, infer_batch_size: int) -> list[Entry]:
        """Returns the method's own signatures, in the order of the artifact.

        `configure`, `save` and `restore` are every method's, and not among them.
        """
        raise NotImplementedError(type(self).__name__)

    def serving(self) -> Serving:
        """Returns what `infer` computes, for a file that does nothing else."""
        raise NotImplementedError(type(self).__name__)

    def quantized(self, backbone: Any) -> Method:
        """Returns the same method, the frozen part of its network quantized.

        Args:
          backbone: a `builtin.quantized.Backbone` of the network's graph.
        """
        raise NotImplementedError(type(self).__name__)

    def observing(self, observed: Any) -> Method:
        """Returns the same method, which follows how far activations of its network go.

        Args:
          observed: a `builtin.observe.Observed` of the network's graph.
        """
        raise NotImplementedError(type(self).__name__)

    def proof(self, sample: Any = None) -> Any:
        """Returns the `proof.proof.Proof` of an artifact of this method.

        The proof room is imported only there: a method works without it.

        Args:
          sample: real rows to prove it with, as the method's batches take them.
        """
        raise NotImplementedError(type(self).__name__)

    def layers(self) -> tuple[str, ...]:
        """Returns the names of Keras layers, as the graphs' name scopes have them."""
        raise NotImplementedError(type(self).__name__)

    def plan_names(self) -> dict[str, str]:
        """Returns {node name: lowering name}, of all networks."""
        raise NotImplementedError(type(self).__name__)

    def hyperparameters(self) -> tuple[str, ...]:
        """Returns the names `configure` takes, each a [1] float32 state tensor."""
        return tuple(
            name for name, t in self.state().items() if t.spec.role == "hyperparameter"
        )
