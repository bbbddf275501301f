"""1x1 convolution on images as they are: one product for each row of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D, window_of
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.products import (
    GROUP_ROWS,
    filter_product,
    group_sum,
    groups_of,
    matmul,
)
from tflite_odl.builtin.window import Window


class Pointwise(Conv2D):
    """y = x K, dK = x^T dy, dx = dy K^T, x [B, H, W, C] and y [B, H, W, F].

    A RESHAPE of what has other readers is a copy: taken as one long list of rows, x, y
    and their gradients would be copied six times, here only dy is, once. Products of
    rows of few pixels leave the kernel's tile of rows half empty.
    """

    name = "pointwise"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        window = window_of(node)
        plain = window.kernel == window.strides == (1, 1)
        return super().supports(node, inputs) and plain and window.out == window.size

    def columns(self, window: Window, x: tf.Tensor) -> tf.Tensor:
        return x

    def apply(self, window: Window, columns: tf.Tensor, kernel: tf.Tensor):
        return matmul(columns, kernel)

    def filter(self, window: Window, columns: tf.Tensor, dy: tf.Tensor, shape):
        batch, pixels = columns.shape[0], window.size[0] * window.size[1]
        groups = groups_of(batch, batch * pixels)
        if pixels >= GROUP_ROWS // 2:
            groups = batch
        if groups not in (1, batch):
            return tf.reshape(filter_product(columns, dy), shape), dy
        each = batch * pixels // groups
        turned = tf.transpose(columns, [0, 3, 1, 2] if groups > 1 else [3, 0, 1, 2])
        turned = tf.reshape(turned, [groups, shape[2], each])
        products = matmul(turned, tf.reshape(dy, [groups, each, shape[3]]))
        return tf.reshape(group_sum(products), shape), dy

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return matmul(spread, kernel, transpose_b=True)
