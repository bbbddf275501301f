"""What every loss is, and how rows of floating-point labels are read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.rows import LARGEST
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError

# What only some losses have a meaning for.
OPTIONS = ("label_smoothing", "class_weights", "huber_delta")


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels read place by place; P are the axes between batch and last one.

    Attributes:
      y: like the given labels, 0 where there is none.
      valid: [B] bool, rows whose every place has a label, or is marked as unlabelled.
      labelled: [B, *P] bool, places with a label.
    """

    y: tf.Tensor
    valid: tf.Tensor
    labelled: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss of the model's output z, [B, *P, C], and labels y.

    L = sum_i share_i l(z_i, y_i) over the places i, [B, *P]: the rows of an output [C],
    the pixels of one [H, W, C]. The share of a place is its row's sample weight divided
    by the number of labelled places, as Keras averages; 0 for one that does not count.

    Attributes:
      shape: (*P, C), that of the output without the batch.
      label_smoothing: s, from 0 up to but not 1.
      class_weights: C numbers, or none.
      huber_delta: above 0.
      output: name of what `infer` returns.
      ending: final activation of the model that is taken back to logits, if any.
      options: which of the attributes a subclass has a meaning for.
    """

    shape: tuple[int, ...]
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    huber_delta: float = 1.0

    output = "probabilities"
    ending = ""
    options = ("label_smoothing", "class_weights")

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not self.shape:
            raise ModelError("the model's output has no axis but the batch, needs one")
        for option in OPTIONS:
            given = getattr(self, option) != getattr(type(self), option)
            if given and option not in self.options:
                raise ModelError(f"{name} has no {option}: leave it out")
        if not 0 <= self.label_smoothing < 1:
            raise ModelError(
                f"label_smoothing is 0 or more and below 1, got {self.label_smoothing}"
            )
        weights = self.class_weights
        if weights and len(weights) != self.outputs:
            raise ModelError(
                f"{len(weights)} class_weights for {self.outputs} outputs: one each"
            )
        if weights and not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ModelError(
                f"class_weights are finite, not negative and not all 0, got {weights}"
            )
        if not 0 < self.huber_delta < math.inf:
            raise ModelError(f"huber_delta is above 0, got {self.huber_delta}")

    @property
    def outputs(self) -> int:
        """C."""
        return self.shape[-1]

    def target(self, batch_size: int) -> TensorSpec:
        """Returns what the train signature takes as `y`."""
        raise NotImplementedError(type(self).__name__)

    def targets(self, batch_size: int) -> tuple[TensorSpec, ...]:
        """Returns the labels of the train signature: one, where the output is one."""
        return (self.target(batch_size),)

    def given(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the labels among the inputs of a signature."""
        return inputs["y"]

    def read(self, y: tf.Tensor) -> Labels:
        raise NotImplementedError(type(self).__name__)

    def value(self, z: tf.Tensor, y: tf.Tensor, share: tf.Tensor):
        """Returns (the loss, [1] float32, and its gradient with respect to z).

        Args:
          z: [B, *P, C] float32.
          y: labels as `read` returns them.
          share: [B, *P] float32.
        """
        raise NotImplementedError(type(self).__name__)

    def predict(self, z: tf.Tensor) -> tf.Tensor:
        """Returns what `infer` gives for an output z of the model."""
        raise NotImplementedError(type(self).__name__)

    def predictions(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the same by name."""
        return {self.output: self.predict(z)}

    def metrics(
        self, z: tf.Tensor, y: tf.Tensor, labelled: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns what `evaluate` gives beside the loss: `count` and one more, [1].

        Args:
          z: [B, *P, C] float32.
          y: labels as `read` returns them.
          labelled: [B, *P] float32, 1 for a place that counts.
        """
        raise NotImplementedError(type(self).__name__)


@dataclasses.dataclass(frozen=True)
class FloatLoss(Loss):
    """A loss whose labels are as large as the output: [B, *P, C] float32, and [B] where
    that is [B, 1]. A place of nothing but NaN is unlabelled."""

    about = "wanted output"

    def target(self, batch_size: int) -> TensorSpec:
        shape = () if self.shape == (1,) else self.shape
        place = "row" if len(shape) < 2 else "place on the last axis"
        about = f"{self.about}, a {place} of NaN = unlabelled"
        shape = (batch_size, *shape)
        return TensorSpec("y", "float32", shape, "label", about=about, fill=math.nan)

    def read(self, y: tf.Tensor) -> Labels:
        if self.shape == (1,):
            y = column(y)
        return read_floats(y, self.inside(y))

    def inside(self, y: tf.Tensor) -> tf.Tensor:
        """Returns bool like y: whether a value is a label; false where it is NaN."""
        return tf.abs(y) <= LARGEST


def read_floats(y: tf.Tensor, inside: tf.Tensor) -> Labels:
    """Returns places of floats as labels: one counts where all of it is inside.

    A place of nothing but NaN is unlabelled; any other is not valid, nor is its row.

    Args:
      y: [B, *P, C] float32.
      inside: [B, *P, C] bool, false wherever y is NaN.
    """
    labelled, unlabelled = all_last(inside), all_last(tf.not_equal(y, y))
    zeroed = tf.where(inside, y, 0.0)
    return Labels(zeroed, all_rows(tf.logical_or(labelled, unlabelled)), labelled)


def all_last(flags: tf.Tensor) -> tf.Tensor:
    """Returns whether all flags of the last axis are set."""
    return tf.reduce_min(tf.cast(flags, tf.float32), -1) > 0.5


def all_rows(flags: tf.Tensor) -> tf.Tensor:
    """Returns [B] bool: whether all flags of a row, [B, *P], are set."""
    while flags.shape.rank > 1:
        flags = all_last(flags)
    return flags


def column(share: tf.Tensor) -> tf.Tensor:
    """Returns a [B, *P] tensor as [B, *P, 1]."""
    return tf.reshape(share, [*share.shape, 1])


def total(values: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a tensor, [1], that of the rows first."""
    values = tf.reduce_sum(values, list(range(1, values.shape.rank)))
    return tf.reduce_sum(values, 0, keepdims=True)


def count(flags: tf.Tensor, each: int = 1) -> tf.Tensor:
    """Returns `each` times the number of flags, float32 of any shape, as [1] int32."""
    found = tf.reduce_sum(tf.cast(tf.reshape(flags, [-1]), tf.int32), keepdims=True)
    return found * each


def mean(values: tf.Tensor, labelled: tf.Tensor) -> tf.Tensor:
    """Returns [1]: the mean of values [B, *P] over the labelled places, 0 of none."""
    places = tf.maximum(total(labelled), 1.0)
    return total(values * labelled) / places
