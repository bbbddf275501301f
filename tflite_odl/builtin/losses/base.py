"""What every loss is, and how rows of floating-point labels are read."""

from __future__ import annotations

import dataclasses
import math

from tflite_odl.builtin.lazy import tf
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels read row by row.

    Attributes:
      y: like the given labels, 0 where there is none.
      valid: [B] bool, rows whose label is one, or that are marked as unlabelled.
      labelled: [B] bool, rows with a label.
    """

    y: tf.Tensor
    valid: tf.Tensor
    labelled: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss of the model's output z, [B, C], and labels y.

    L = sum_i share_i l(z_i, y_i). The share of a row is its sample weight divided by
    the number of labelled rows, as Keras averages; 0 for a row that does not count.

    Attributes:
      outputs: C.
      label_smoothing: s, from 0 up to but not 1.
      class_weights: C numbers, or none.
      output: name of what `infer` returns.
      ending: final activation of the model that is taken back to logits, if any.
      options: which of the attributes a subclass has a meaning for.
    """

    outputs: int
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()

    output = "probabilities"
    ending = ""
    options = ("label_smoothing", "class_weights")

    def __post_init__(self) -> None:
        name = type(self).__name__
        for option in ("label_smoothing", "class_weights"):
            if getattr(self, option) and option not in self.options:
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

    def target(self, batch_size: int) -> TensorSpec:
        """Returns what the train signature takes as `y`."""
        raise NotImplementedError(type(self).__name__)

    def read(self, y: tf.Tensor) -> Labels:
        raise NotImplementedError(type(self).__name__)

    def value(self, z: tf.Tensor, y: tf.Tensor, share: tf.Tensor):
        """Returns (the loss, [1] float32, and its gradient with respect to z, [B, C]).

        Args:
          z: [B, C] float32.
          y: labels as `read` returns them.
          share: [B] float32.
        """
        raise NotImplementedError(type(self).__name__)

    def predict(self, z: tf.Tensor) -> tf.Tensor:
        """Returns what `infer` gives for an output z of the model."""
        raise NotImplementedError(type(self).__name__)

    def metrics(
        self, z: tf.Tensor, y: tf.Tensor, labelled: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns what `evaluate` gives beside the loss: `count` and one more, [1].

        Args:
          z: [B, C] float32.
          y: labels as `read` returns them.
          labelled: [B] float32, 1 for a row that counts.
        """
        raise NotImplementedError(type(self).__name__)


def float_target(batch_size: int, outputs: int, about: str) -> TensorSpec:
    """Returns the spec of labels [B, C] float32."""
    about += ", a row of NaN = unlabelled"
    return TensorSpec("y", "float32", (batch_size, outputs), about=about)


def read_floats(y: tf.Tensor, inside: tf.Tensor) -> Labels:
    """Returns rows of floats as labels: a row counts where all of it is inside.

    A row of nothing but NaN is unlabelled; any other is not valid.

    Args:
      y: [B, C] float32.
      inside: [B, C] bool, false wherever y is NaN.
    """
    labelled, unlabelled = _all(inside), _all(tf.not_equal(y, y))
    zeroed = tf.where(inside, y, 0.0)
    return Labels(zeroed, tf.logical_or(labelled, unlabelled), labelled)


def _all(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_min(tf.cast(flags, tf.float32), 1) > 0.5


def column(share: tf.Tensor) -> tf.Tensor:
    """Returns a [B] tensor as [B, 1]."""
    return tf.reshape(share, [-1, 1])


def total(values: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a [B, C] tensor, [1], axis by axis."""
    return tf.reduce_sum(tf.reduce_sum(values, 1), 0, keepdims=True)


def count(flags: tf.Tensor, each: int = 1) -> tf.Tensor:
    """Returns `each` times the number of flags, [B] or [B, C] float32, as [1] int32."""
    found = tf.reduce_sum(tf.cast(tf.reshape(flags, [-1]), tf.int32), keepdims=True)
    return found * each
