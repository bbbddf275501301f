"""DepthwiseConv2D with several filters per channel, by the lowerings for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
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


class Multiplied(Lowering):
    """Each channel of x is repeated M times, the kernel [kh, kw, C, M] is read as
    [kh, kw, C M, 1]; dx sums what the M copies of a channel get."""

    def __init__(self, inner: Lowering) -> None:
        self.inner, self.name, self.delegated = inner, inner.name, inner.delegated

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        several = node.attributes["multiplier"] > 1
        return several and self.inner.supports(_single(node), inputs)

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        copies = site.node.attributes["multiplier"]
        return self.inner.forward(_seen(site), [_repeated(inputs[0], copies)])

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        found = self.inner.backward(_seen(site), residual, gradient)
        weights = dict(found.weights)
        if "kernel" in weights:
            shape = site.weights["kernel"].shape
            weights["kernel"] = tf.reshape(weights["kernel"], shape)
        copies = site.node.attributes["multiplier"]
        inputs = [g and Gradient.of(_summed(g.dense(), copies)) for g in found.inputs]
        return Gradients(inputs, weights)


def _single(node: Node) -> Node:
    return dataclasses.replace(node, attributes={**node.attributes, "multiplier": 1})


def _seen(site: Site) -> Site:
    return Site(_single(site.node), _flat(site.weights), site.run)


def _flat(weights: Mapping) -> dict:
    kh, kw, c, copies = weights["kernel"].shape
    kernel = tf.reshape(weights["kernel"], [kh, kw, c * copies, 1])
    return {**weights, "kernel": kernel}


def _repeated(x: tf.Tensor, copies: int) -> tf.Tensor:
    """Returns y [B, H, W, C M]: y[c M + m] = x[c]."""
    *lead, c = x.shape
    column = tf.reshape(x, [x.shape.num_elements(), 1])
    repeated = column * np.ones((1, copies), np.float32)
    return tf.reshape(repeated, [*lead, c * copies])


def _summed(dy: tf.Tensor, copies: int) -> tf.Tensor:
    """Returns the transpose of `_repeated`."""
    *lead, c = dy.shape
    column = tf.reshape(dy, [dy.shape.num_elements() // copies, copies])
    return tf.reshape(tf.reduce_sum(column, 1), [*lead, c // copies])
