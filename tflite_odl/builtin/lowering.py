"""The seam for speed: one interface behind which an op's lowerings stand.

A lowering computes an op AND its gradient, in builtin ops only. Several lowerings of
one family may differ in speed and memory, never in what they compute. The plan names
one for each node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.graph import Node

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Which rows of a batch count, for statistics over the batch.

    Attributes:
      mask: [B] float32, 1 for a row that counts, 0 for padding and rejected rows.
      count: [1] float32, number of rows that count, at least 1.
    """

    mask: tf.Tensor
    count: tf.Tensor

    @classmethod
    def of(cls, mask: tf.Tensor) -> Rows:
        return cls(mask, tf.reshape(tf.maximum(tf.reduce_sum(mask), 1.0), [1]))

    def shaped(self, rank: int) -> tf.Tensor:
        """Returns the mask as [B, 1, ..., 1] of the given rank."""
        return tf.reshape(self.mask, [-1] + [1] * (rank - 1))


@dataclasses.dataclass(frozen=True)
class Gradient:
    """The gradient of the loss with respect to an activation, not yet multiplied out.

    The gradient is `value * scale`, broadcast to `shape`: a batch norm's backward pass
    leaves its per-channel factor here so that the convolution before it can fold it
    into its small weights, and a global average leaves its [B, 1, 1, C].

    Attributes:
      value: broadcastable to `shape`, float32.
      shape: full shape, with the batch.
      scale: [C] float32 or None.
    """

    value: tf.Tensor
    shape: tuple[int, ...]
    scale: tf.Tensor | None = None

    @classmethod
    def of(cls, value: tf.Tensor) -> Gradient:
        return cls(value, tuple(value.shape))

    def full(self) -> Gradient:
        """Returns the same gradient with `value` in its full shape."""
        if tuple(self.value.shape) == self.shape:
            return self
        # A product with ones, since BROADCAST_TO would leave the XNNPACK partition.
        ones = [n if m == 1 else 1 for n, m in zip(self.shape, self.value.shape)]
        value = self.value * np.ones(ones, np.float32)
        return Gradient(value, self.shape, self.scale)

    def dense(self) -> tf.Tensor:
        """Returns the gradient as one tensor of its full shape."""
        value = self.full().value
        return value if self.scale is None else value * self.scale

    def times(self, factor: tf.Tensor) -> Gradient:
        """Returns the gradient multiplied elementwise by a tensor of full shape."""
        return Gradient(self.value * factor, self.shape, self.scale)


@dataclasses.dataclass(frozen=True)
class Residual:
    """What backward needs from forward.

    `rows` holds tensors with the batch on axis 0, so that a method may gather the rows
    it keeps; `shared` holds everything else.
    """

    rows: Tensors = dataclasses.field(default_factory=dict)
    shared: Tensors = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Output:
    """What forward returns; `moved` holds weights that move without a gradient."""

    value: tf.Tensor
    residual: Residual = dataclasses.field(default_factory=Residual)
    moved: Tensors = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Gradients:
    """What backward returns: per input a gradient or None, and the weights'."""

    inputs: Sequence[Gradient | None]
    weights: Tensors = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Pass:
    """How the graph is being run: `training` uses batch statistics where a layer has
    them; `rows` says which rows count; `wants` names the nodes gradients must reach;
    `random` is the state dropout is drawn from, [2] int32, needed in training only;
    `places` [B] int32 says which rows of the batch these are, if not all of them;
    `statistics` holds, by node, batch statistics to take instead of the batch's own."""

    training: bool
    rows: Rows
    wants: frozenset[str] = frozenset()
    random: tf.Tensor | None = None
    places: tf.Tensor | None = None
    statistics: Mapping[str, Tensors] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Site:
    """Where a lowering works: the node, its weights by role, and the pass it is in."""

    node: Node
    weights: Tensors
    run: Pass

    @property
    def wanted(self) -> list[bool]:
        """For each input of the node, whether its gradient is wanted."""
        return [name in self.run.wants for name in self.node.inputs]


class Lowering:
    """One way to compute an op family in builtin ops. Subclasses hold no state.

    Attributes:
      name: unique in the family.
      delegated: whether XNNPACK runs all of it. Others split the step into partitions,
        between which two thread pools contend: they are taken only when named or tuned.
    """

    name = ""
    delegated = True

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        """Whether the lowering takes the node; `inputs` are shapes without batch."""
        return True

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        """Returns the op's output and what `backward` will need."""
        raise NotImplementedError(type(self).__name__)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        """Returns the gradients of the inputs that are wanted, and of the weights."""
        raise NotImplementedError(type(self).__name__)

    def forward_chunks(
        self, sites: Sequence[Site], inputs: Sequence[Sequence[tf.Tensor]]
    ) -> list[Output]:
        """Returns `forward` of each chunk of a batch. Where rows are not independent of
        each other, this and the next take the place of the two above."""
        return [self.forward(*chunk) for chunk in zip(sites, inputs, strict=True)]

    def backward_chunks(
        self,
        sites: Sequence[Site],
        residuals: Sequence[Residual],
        gradients: Sequence[Gradient],
    ) -> list[Gradients]:
        """Returns `backward` of each chunk; the weights' sum to the batch's."""
        chunks = zip(sites, residuals, gradients, strict=True)
        return [self.backward(*chunk) for chunk in chunks]
