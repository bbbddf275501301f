"""Conv2D as one product with full patches: any kernel, stride, padding, dilation."""

from __future__ import annotations

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.products import filter_product, grouped, rows_times
from tflite_odl.builtin.window import Window


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
        spread = grouped(dy)
        return tf.reshape(filter_product(columns, spread), shape), spread

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        matrix = _matrix(kernel)
        columns = rows_times(spread, matrix, transpose_w=True, image=window.out)
        return window.scatter(columns)


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    kh, kw, c, f = kernel.shape
    return tf.reshape(kernel, [kh * kw * c, f])
