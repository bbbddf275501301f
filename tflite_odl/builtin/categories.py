"""Whole numbers that stand for categories; no gradient goes through them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.activations import positive
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)


class _Constant(Lowering):
    """An op that is constant between its steps."""

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([None])


class OneHot(_Constant):
    """[..., C] with 1 at the place that x, a whole number from 0 to C - 1, says: by
    relu(1 - |x - k|), which is exact."""

    name = "distance"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        places = np.arange(site.node.shape[-1], dtype=np.float32)
        x = inputs[0][..., tf.newaxis]
        return Output(tf.nn.relu(1.0 - tf.abs(x - places)))


class Digitize(_Constant):
    """How many of `bounds`, in ascending order, are not above x."""

    name = "count"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        bounds = np.asarray(site.node.attributes["bounds"], np.float32)
        x = inputs[0][..., tf.newaxis]
        return Output(tf.reduce_sum(1.0 - positive(bounds - x), -1))


FAMILIES = {
    "one_hot": (OneHot(),),
    "digitize": (Digitize(),),
}
