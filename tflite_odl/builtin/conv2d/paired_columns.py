"""3x3 convolution with two output columns to a row of the product.

Where the matrix kernel is wider than three times the filters (AVX-512: 32 columns), it
runs half empty on narrow layers. Two columns at once cost a third more arithmetic and
fill it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.products import filter_product, grouped, rows_times
from tflite_odl.builtin.space import cut, shifted, side_by_side
from tflite_odl.builtin.stencils import moved, stencil, sum_rows
from tflite_odl.builtin.window import Window


class PairedColumns(Conv2D):
    """A: the four columns around each pair, [B, H, W / 2, 4 C]; the kernel twice, one
    column apart, as a matrix T [4 C, kh 2 F]; otherwise as `SplitWidth`."""

    name = "paired_columns"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        return (
            super().supports(node, inputs)
            and a["strides"] == (1, 1)
            and a["dilation"] == (1, 1)
            and a["kernel"][1] == 3
            and a["padding"][1] == (1, 1)
            and a["size"][1] % 2 == 0
        )

    def columns(self, window: Window, x: tf.Tensor) -> tf.Tensor:
        b, h, w, c = x.shape
        # In pairs, x moved right reads as columns -1 and 0, moved left as 1 and 2.
        pairs = [moved(x, 2, offset, w) for offset in (-1, 1)]
        return tf.concat([tf.reshape(p, [b, h, w // 2, 2 * c]) for p in pairs], -1)

    def apply(self, window: Window, columns: tf.Tensor, kernel: tf.Tensor):
        z = rows_times(columns, _matrix(kernel))
        (top, _), (height, width) = window.padding[0], window.out
        y = sum_rows(z, window.kernel[0], top, height)
        return tf.reshape(y, [y.shape[0], height, width, kernel.shape[-1]])

    def filter(self, window: Window, columns: tf.Tensor, dy: tf.Tensor, shape):
        kh, kw, c, f = shape
        b, h, w, _ = dy.shape
        top, height = window.padding[0][0], window.size[0]
        pair = tf.reshape(dy, [b, h, w // 2, 2 * f])
        rows = [moved(pair, 1, top - i, height) for i in range(kh)]
        spread = side_by_side([grouped(row) for row in rows])
        twice = tf.reshape(filter_product(columns, spread), [(kw + 1) * c, kh, 2, f])
        size = [kw * c, kh, 1, f]
        once = tf.slice(twice, [0, 0, 0, 0], size) + tf.slice(twice, [c, 0, 1, 0], size)
        return tf.transpose(tf.reshape(once, [kw, c, kh, f]), [2, 0, 1, 3]), spread

    def back(self, window: Window, spread: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        c = kernel.shape[2]
        # T's columns -1, 0, 1, 2 in the order 0, -1, 2, 1: read in halves, the left of
        # a pair is the sum of two neighbours' first parts, the right of the second.
        swapped = tf.concat(
            [cut(_matrix(kernel), 0, k * c, c) for k in (1, 0, 3, 2)], 0
        )
        h, half = window.size[0], window.out[1] // 2
        columns = rows_times(spread, swapped, transpose_w=True, image=(h, half))
        b = columns.shape[0]
        halves = tf.reshape(columns, [b, h, 2 * half, 2 * c])
        taps = np.repeat([[1, 0], [1, 0], [0, 1], [0, 1]], c, axis=1)[None]
        return tf.reshape(stencil(halves, taps, (1, 2)), [b, h, 2 * half, c])


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    """Returns T [4 C, kh 2 F]: the left column's kernel beside the right one's."""
    kh, kw, c, f = kernel.shape
    turned = tf.reshape(tf.transpose(kernel, [1, 2, 0, 3]), [kw * c, kh, 1, f])
    left = shifted(turned, 0, 0, (kw + 1) * c)
    right = shifted(turned, 0, -c, (kw + 1) * c)
    return tf.reshape(tf.concat([left, right], 2), [(kw + 1) * c, kh * 2 * f])
