"""Masks over steps, 1 where a step counts and 0 elsewhere, and what they leave out.

No gradient goes through a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.masks import positive


class Differs(Lowering):
    """1 where x is not `value`; of `features` [..., C], where one of them is not."""

    name = "clipped"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a = site.node.attributes
        apart = tf.abs(inputs[0] - a["value"]) if a["value"] else tf.abs(inputs[0])
        mask = positive(apart)
        return Output(tf.reduce_max(mask, -1) if a["features"] else mask)

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        return Gradients([None])


class MaskedMean(Lowering):
    """y = sum m x / sum m over the steps of [B, T, C], m [B, T]; dx = dy m / sum m.

    Where no step counts y is 0; Keras has 0 / 0 there.
    """

    name = "sums"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        x, mask = inputs
        mask = tf.reshape(mask, [*mask.shape, 1])
        share = mask / tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1.0)
        y = tf.reduce_sum(x * share, 1)
        return Output(tf.reshape(y, [-1, *site.node.shape]), Residual({"share": share}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        dy = gradient.dense()
        steps = tf.reshape(dy, [dy.shape[0], 1, dy.shape[-1]])
        return Gradients([Gradient.of(steps * residual.rows["share"]), None])


FAMILIES = {
    "mask": (Differs(),),
    "masked_mean": (MaskedMean(),),
}
