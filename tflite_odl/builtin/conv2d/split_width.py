"""Conv2D split in width and height: kw patches instead of kh * kw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.conv2d.base import Conv2D
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.products import filter_product, grouped, rows_times
from tflite_odl.builtin.space import (
    cut,
    join_phases,
    joined,
    shifted,
    side_by_side,
    summed,
)
from tflite_odl.builtin.stencils import moved, sum_at, sum_rows
from tflite_odl.builtin.window import Window


class SplitWidth(Conv2D):
    """A: what the kw width taps read, side by side [B, H, W', kw C]; K as a matrix
    [kw C, kh F].

    Forward: Z = A K; y = sum over i of Z_i shifted up by i - top.
    Backward: D = kh height shifts of dy side by side; dK = A^T D, dA = D K^T,
    dx = sum over j of dA_j shifted left by left - j.
    With a height stride of s, all this for every s-th row of x and of the kernel: s
    such convolutions make one.
    """

    name = "split_width"

    def supports(self, node: Node, inputs: Sequence[tuple[int, ...]]) -> bool:
        a = node.attributes
        plain = a["dilation"] == (1, 1) and a["kernel"] != (1, 1)
        return super().supports(node, inputs) and plain

    def columns(self, window: Window, x: tf.Tensor) -> list[tf.Tensor]:
        columns = range(window.kernel[1])
        return [
            side_by_side([_tap(window, x, phase, j) for j in columns])
            for phase in _phases(window)
        ]

    def apply(self, window: Window, columns: Sequence[tf.Tensor], kernel: tf.Tensor):
        return summed(
            sum_rows(
                rows_times(a, _matrix(phase.rows(kernel))),
                len(phase.taps),
                phase.top,
                window.out[0],
            )
            for a, phase in zip(columns, _phases(window), strict=True)
        )

    def filter(
        self, window: Window, columns: Sequence[tf.Tensor], dy: tf.Tensor, shape
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        spread, found, order = [], [], []
        for a, phase in zip(columns, _phases(window), strict=True):
            taps, height = phase.taps, _height(window)
            rows = [moved(dy, 1, phase.top - k, height) for k in range(len(taps))]
            spread.append(side_by_side([grouped(row) for row in rows]))
            product = filter_product(a, spread[-1])
            product = tf.reshape(product, [*shape[1:3], len(taps), shape[3]])
            found.append(tf.transpose(product, [2, 0, 1, 3]))
            order += taps
        kernel = joined(found, 0)
        if len(found) > 1:
            places = [order.index(i) for i in range(len(order))]
            kernel = joined([cut(kernel, 0, at, 1) for at in places], 0)
        return kernel, spread

    def back(
        self, window: Window, spread: Sequence[tf.Tensor], kernel: tf.Tensor
    ) -> tf.Tensor:
        image = _height(window), window.out[1]
        phases: list[tf.Tensor | None] = [None] * window.strides[0]
        for d, phase in zip(spread, _phases(window), strict=True):
            matrix = _matrix(phase.rows(kernel))
            columns = rows_times(d, matrix, transpose_w=True, image=image)
            phases[phase.number] = window.scatter_columns(columns)
        return shifted(join_phases(phases, 1), 1, 0, window.size[0])


@dataclasses.dataclass(frozen=True)
class _Phase:
    """Every s-th row of x, and the kernel's rows that read it, one below the other.

    Attributes:
      number: of its first row in x.
      taps: rows of the kernel.
      top: rows of zeros above, as of a convolution of stride 1.
    """

    number: int
    taps: tuple[int, ...]
    top: int

    def rows(self, kernel: tf.Tensor) -> tf.Tensor:
        if len(self.taps) == kernel.shape[0]:
            return kernel
        return joined([cut(kernel, 0, i, 1) for i in self.taps], 0)


def _phases(window: Window) -> list[_Phase]:
    found: dict[int, list[tuple[int, int]]] = {}
    for i, (whole, number) in enumerate(window.phases(1)):
        found.setdefault(number, []).append((whole, i))
    return [
        _Phase(number, tuple(i for _, i in taps), -taps[0][0])
        for number, taps in found.items()
    ]


def _height(window: Window) -> int:
    """Returns the rows of a phase."""
    return -(-window.size[0] // window.strides[0])


def _tap(window: Window, x: tf.Tensor, phase: _Phase, column: int) -> tf.Tensor:
    """Returns what one column of the kernel reads of a phase, [B, H / s, W', C]."""
    offset, width = column - window.padding[1][0], window.out[1]
    if window.strides == (1, 1):
        return moved(x, 2, offset, width)
    size = _height(window), width
    return sum_at(x, [(phase.number, offset)], window.strides, size)


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    kh, kw, c, f = kernel.shape
    return tf.reshape(tf.transpose(kernel, [1, 2, 0, 3]), [kw * c, kh * f])
