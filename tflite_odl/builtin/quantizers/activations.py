"""Activation quantizers, as op families: straight-through where they do not clip."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.quantizers.levels import steps
from tflite_odl.builtin.quantizers.steps import above, sign
from tflite_odl.builtin.sums import channel_sums
from tflite_odl.leveling import LEAST


class Sign(Lowering):
    """y = sign(a), sign(0) = +1; da = dy where |a| <= 1, else 0.

    References: Hubara et al., 2016, arXiv:1602.02830.
    """

    name = "sign"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        return Output(sign(inputs[0]), Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        inside = 1.0 - above(tf.abs(residual.rows["x"]) - 1.0)
        return Gradients([gradient.times(inside)])


class Rounded(Lowering):
    """y = r round(clip(a, l, r) n / r) / n, halves to even, r > 0 trained.

    Behind a relu l = 0 and n = 2^k - 1; signed, l = -r and n = 2^(k-1) - 1.
    da = dy where l <= a <= r, else 0; dr = sum dy 1[a > r], signed - sum dy 1[a < -r].

    References: Choi et al., 2018 (PACT), arXiv:1805.06085.
    """

    name = "rounded"

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        a, n, r = inputs[0], count(site.node), _range(site)
        low = -r if site.node.attributes["signed"] else tf.zeros([1])
        clipped = tf.minimum(tf.maximum(a, low), r)
        y = tf.round(clipped * (n / r)) * (r * (1.0 / n))
        return Output(y, Residual(rows={"x": a}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        a, r, dy = residual.rows["x"], _range(site), gradient.dense()
        over = above(a - r)
        under = above(-a - r if site.node.attributes["signed"] else -a)
        found = {}
        if site.node.trainable:
            pull = over - under if site.node.attributes["signed"] else over
            total = channel_sums(dy * pull)
            found["range"] = tf.reshape(tf.reduce_sum(total, total.shape.rank - 1), [1])
        if not site.wanted[0]:
            return Gradients([None], found)
        return Gradients([Gradient.of(dy * (1.0 - over - under))], found)


def count(node: Node) -> float:
    """Returns n of a node that rounds."""
    bits = node.attributes["bits"]
    return steps(bits) if node.attributes["signed"] else 2.0**bits - 1.0


def _range(site: Site) -> tf.Tensor:
    return tf.maximum(site.weights["range"], LEAST)


FAMILIES = {"sign": (Sign(),), "rounded": (Rounded(),)}
