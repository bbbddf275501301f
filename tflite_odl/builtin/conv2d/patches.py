"""Conv2D as one product with full patches: any kernel, stride, padding, dilation."""

from __future__ import annotations

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.products import filter_product, rows_times
from tflite_odl.builtin.space import Window


class Patches(Conv2D):
    """P [B, H', W', kh kw C] of the input; y = P K, dK = P^T dy, dP = dy K^T.

    A 1x1 convolution is a plain product: its patches are the input itself.
    """

    name = "patches"

    def columns(self, window: Window, x: tf.Tensor) -> tf.Tensor:
        return window.patches(x)

    def apply(self, window: Window, columns: tf.Tensor, kernel: tf.Tensor):
        return rows_times(columns, _matrix(kernel))

    def filter(self, window: Window, columns: tf.Tensor, dy: tf.Tensor, shape):
        return tf.reshape(filter_product(columns, dy), shape), dy

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return window.scatter(rows_times(spread, _matrix(kernel), transpose_w=True))


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    kh, kw, c, f = kernel.shape
    return tf.reshape(kernel, [kh * kw * c, f])
