"""Large nets, and the faults that are put into each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tf_keras

from tflite_odl import models
from tflite_odl.proof.faults import FAULTS, Fault
from tflite_odl.proof.faults.gradients import scaled


@dataclasses.dataclass(frozen=True)
class Case:
    """A net at a batch size, with names of weights that a fault may be in.

    Attributes:
      make: returns the Keras model.
      batch: rows of a train call.
      first, middle: names of kernels, before batch norms.
    """

    make: Callable[[], tf_keras.Model]
    batch: int
    first: str
    middle: str

    def faults(self, name: str) -> tuple[Fault, ...]:
        """Returns the five faults, for the net of this name."""
        by_name = {fault.name: fault for fault in FAULTS}
        return (
            scaled("the first kernel never learns", name, self.first, 0),
            scaled("the first kernel's gradient negated", name, self.first, -1),
            scaled("a kernel's gradient 1 % too large", name, self.middle, 1.01),
            by_name["a relu's mask dropped"],
            by_name["a batch norm's epsilon 5 % too large"],
        )


def _mobilenet() -> tf_keras.Model:
    return models.backbone("mobilenet_v2", (96, 96, 3), 10, 0)


def _inception() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(0)
    return tf_keras.applications.InceptionV3(
        weights=None, input_shape=(75, 75, 3), classes=10
    )


CASES = {
    "mobilenet_v2": Case(_mobilenet, 8, "stem_conv_kernel", "block9_expand_kernel"),
    "inception_v3": Case(_inception, 4, "conv2d_kernel", "conv2d_40_kernel"),
}
QUICK = ("mobilenet_v2",)
