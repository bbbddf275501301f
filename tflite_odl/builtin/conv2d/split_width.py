"""Conv2D of stride 1 split in width and height: kw patches instead of kh * kw."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.products import filter_product, rows_times
from tflite_odl.builtin.space import Window, side_by_side
from tflite_odl.builtin.stencils import moved, sum_columns, sum_rows


class SplitWidth(Conv2D):
    """A: kw width shifts side by side [B, H, W', kw C]; K as a matrix [kw C, kh F].

    Forward: Z = A K; y = sum over i of Z_i shifted up by i - top.
    Backward: D = kh height shifts of dy side by side; dK = A^T D, dA = D K^T,
    dx = sum over j of dA_j shifted left by left - j.
    """

    name = "split_width"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        plain = a["strides"] == (1, 1) and a["dilation"] == (1, 1)
        return super().supports(node, inputs) and plain and a["kernel"] != (1, 1)

    def columns(self, window: Window, x: tf.Tensor) -> tf.Tensor:
        left, width = window.padding[1][0], window.out[1]
        kw = window.kernel[1]
        return side_by_side([moved(x, 2, j - left, width) for j in range(kw)])

    def apply(self, window: Window, columns: tf.Tensor, kernel: tf.Tensor):
        z = rows_times(columns, _matrix(kernel))
        top, height = window.padding[0][0], window.out[0]
        return sum_rows(z, window.kernel[0], top, height)

    def filter(self, window: Window, columns: tf.Tensor, dy: tf.Tensor, shape):
        top, height = window.padding[0][0], window.size[0]
        kh, kw, c, f = shape
        spread = side_by_side([moved(dy, 1, top - i, height) for i in range(kh)])
        found = tf.reshape(filter_product(columns, spread), [kw, c, kh, f])
        return tf.transpose(found, [2, 0, 1, 3]), spread

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        columns = rows_times(spread, _matrix(kernel), transpose_w=True)
        left, width = window.padding[1][0], window.size[1]
        return sum_columns(columns, window.kernel[1], left, width)


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    kh, kw, c, f = kernel.shape
    return tf.reshape(tf.transpose(kernel, [1, 2, 0, 3]), [kw * c, kh * f])
