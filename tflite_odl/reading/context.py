"""What a layer's converter works with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tflite_odl.errors import ModelError
from tflite_odl.reading.names import unique

if TYPE_CHECKING:
    from tflite_odl.reading.builder import GraphBuilder


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the Keras model, as the layer graph has it.

    Attributes:
      node: name of the node that makes it.
      mask: name of the node that makes its Keras mask, [B, T], 1 where a step counts;
        None where the tensor has no mask.
    """

    node: str
    mask: str | None = None


@dataclasses.dataclass
class LayerContext:
    """What a layer's converter works with: the Keras layer, its input nodes, the call
    of it (a Keras node), and for each input the node of its mask, if it has one.

    `mask` is that of the outputs: of layers in `layers.MASKED` their converters set it,
    of others it follows from the inputs'. `given` are the layer's own inputs, `inputs`
    those of the node that is added next.
    """

    builder: GraphBuilder
    layer: Any
    path: str
    inputs: list[str]
    call: Any
    masks: Sequence[str | None] = ()
    mask: str | None = None
    given: tuple[str, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.given = tuple(self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input, without the batch."""
        return self.builder.shape(self.inputs[0])

    @property
    def trainable(self) -> bool:
        return (self.builder.within or self.path) in self.builder.trainable

    @property
    def learns(self) -> bool:
        """Whether the layer learns, or reads what depends on one that does."""
        return self.trainable or not self.builder.learning.isdisjoint(self.inputs)

    @property
    def statistics(self) -> str:
        """Which statistics a batch norm of this model uses while training."""
        learns = self.trainable and self.builder.batch_norm == "batch"
        return "batch" if learns and not self.builder.inferring else "moving"

    def add(
        self,
        op: str,
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, tf.Variable | None] | None = None,
        suffix: str = "",
    ) -> str:
        """Adds a node after this context's inputs and makes it the new input."""
        name = self.builder.add(self, op, shape, attributes, weights or {}, suffix)
        self.inputs = [name]
        return name

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, tf.Variable | None] | None = None,
        suffix: str = "",
    ) -> str:
        """Adds a node that reads what is named; see `add`."""
        self.inputs = list(inputs)
        return self.add(op, shape, attributes, weights, suffix)

    def argument(self, tensor: Any) -> tuple[str, str | None]:
        """Returns node and mask of a tensor among the call's arguments.

        Raises:
          ModelError: it is a constant.
        """
        for place, symbol in enumerate(self.call.keras_inputs):
            if symbol is tensor:
                return self.given[place], self.masks[place]
        raise self.refuse("one of its inputs is a constant", "tensors of the model")

    def salts(self, draws: int) -> list[int]:
        """Returns the salts of so many draws of the node that is added next."""
        name = unique(self.path, self.builder.nodes)
        return [self.builder.salts(f"{name}/draw{draw}") for draw in range(draws)]

    def refuse(self, what: str, instead: str) -> ModelError:
        """Returns the error for an option that cannot be lowered."""
        kind = type(self.layer).__name__
        return ModelError(f"layer {self.path!r} ({kind}): {what}; use {instead}")
