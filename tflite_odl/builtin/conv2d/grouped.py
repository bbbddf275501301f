"""Conv2D in groups: each filter sees the channels of its own group only."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import window_of
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)
from tflite_odl.builtin.products import filter_products, matmul
from tflite_odl.builtin.space import Window
from tflite_odl.builtin.sums import channel_sums, vector


class Grouped(Lowering):
    """P_g: the patches of group g; y_g = P_g K_g, dK_g = P_g^T dy_g, dP_g = dy_g K_g^T.

    The groups come before the batch, [G, B, H, W, C / G], so that one BATCH_MATMUL
    serves them all.
    """

    name = "grouped_patches"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        return node.attributes["groups"] > 1

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        window, groups = window_of(site.node), site.node.attributes["groups"]
        patches = _patches(window, inputs[0], groups)
        y = matmul(patches, _matrices(site.weights["kernel"], groups))
        y = _joined(y, (inputs[0].shape[0], *window.out))
        if "bias" in site.weights:
            y = y + site.weights["bias"]
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        window, groups = window_of(site.node), site.node.attributes["groups"]
        dy, x = gradient.dense(), residual.rows["x"]
        kernel = site.weights["kernel"]
        parts = _rows(_apart(dy, groups), groups)
        found = {}
        if site.node.trainable:
            patches = _patches(window, x, groups)
            product = filter_products(patches, parts, x.shape[0])
            found["kernel"] = _kernel(product, kernel.shape)
            if "bias" in site.weights:
                found["bias"] = vector(channel_sums(dy))
        if not site.wanted[0]:
            return Gradients([None], found)
        back = matmul(parts, _matrices(kernel, groups), transpose_b=True)
        batch = groups * x.shape[0]
        dx = window.scatter(tf.reshape(back, [batch, *window.out, back.shape[-1]]))
        shape = (x.shape[0], *window.size)
        return Gradients([Gradient.of(_joined(_rows(dx, groups), shape))], found)


def _patches(window: Window, x: tf.Tensor, groups: int) -> tf.Tensor:
    """Returns [G, B H' W', kh kw C / G]."""
    return _rows(window.patches(_apart(x, groups)), groups)


def _apart(x: tf.Tensor, groups: int) -> tf.Tensor:
    """Returns x [B, H, W, C] as [G B, H, W, C / G]."""
    b, h, w, c = x.shape
    split = tf.reshape(x, [b, h * w, groups, c // groups])
    moved = tf.transpose(split, [2, 0, 1, 3])
    return tf.reshape(moved, [groups * b, h, w, c // groups])


def _rows(x: tf.Tensor, groups: int) -> tf.Tensor:
    """Returns x [G B, H, W, C / G] as [G, B H W, C / G]."""
    batch, h, w, c = x.shape
    return tf.reshape(x, [groups, batch // groups * h * w, c])


def _joined(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Returns x [G, B H W, C / G] as [B, H, W, C], `shape` being [B, H, W]."""
    groups, _, c = x.shape
    return tf.reshape(tf.transpose(x, [1, 0, 2]), [*shape, groups * c])


def _matrices(kernel: tf.Tensor, groups: int) -> tf.Tensor:
    """Returns the kernel [kh, kw, C / G, F] as [G, kh kw C / G, F / G]."""
    kh, kw, c, f = kernel.shape
    split = tf.reshape(kernel, [kh * kw * c, groups, f // groups])
    return tf.transpose(split, [1, 0, 2])


def _kernel(matrices: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Returns the transpose of `_matrices`."""
    return tf.reshape(tf.transpose(matrices, [1, 0, 2]), shape)
