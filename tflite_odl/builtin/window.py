"""A kernel sliding over an image [B, H, W, C]: what its taps read, and back."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.space import (
    cut,
    join_phases,
    overhangs,
    same_padding,
    shifted,
    side_by_side,
    summed,
)
from tflite_odl.builtin.stencils import DENSE, convolved, sum_at, sum_columns

# Fewer channels than these do not fill a depthwise kernel's vectors.
NARROW = 8
# Entries of a patch copied by one product: each costs as many multiplications.
MOST_COPIED = 64

Pads = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Window:
    """A kernel sliding over an image: which input each tap reads, and back.

    Attributes:
      size: (H, W) of the input.
      kernel: (kh, kw).
      strides: (sh, sw).
      padding: zeros ((top, bottom), (left, right)).
      dilation: distance between taps, (dh, dw).
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Pads = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)

    @property
    def out(self) -> tuple[int, int]:
        """(H, W) of the output."""
        return tuple(
            (n + sum(pad) - (k - 1) * d - 1) // s + 1
            for n, k, s, pad, d in zip(
                self.size, self.kernel, self.strides, self.padding, self.dilation
            )
        )

    def padded(self, x: tf.Tensor) -> tuple[tf.Tensor, str]:
        """Returns (x, "SAME" or "VALID"), x with the zeros no such word stands for."""
        if not any(map(any, self.padding)):
            return x, "VALID"
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation)]
        same = tuple(map(same_padding, self.size, reach, self.strides))
        wrong = any(map(overhangs, self.size, reach, self.strides))
        if self.padding == same and not wrong:
            return x, "SAME"
        (top, bottom), (left, right) = self.padding
        x = shifted(x, 1, -top, self.size[0] + top + bottom)
        return shifted(x, 2, -left, self.size[1] + left + right), "VALID"

    def patches(self, x: tf.Tensor) -> tf.Tensor:
        """Returns [B, H', W', kh * kw * C], the taps side by side, row by row.

        Small ones of few channels by CONV_2D with a constant filter, one for each entry
        of a patch: every other way copies a few bytes at a time.
        """
        (kh, kw), channels = self.kernel, x.shape[-1]
        entries = kh * kw * channels
        if self.kernel == self.strides == (1, 1):
            return self.taps(x)[0]
        if channels < NARROW and entries <= MOST_COPIED:
            x, padding = self.padded(x)
            each = np.eye(entries, dtype=np.float32)
            filters = each.reshape(kh, kw, channels, entries)
            return convolved(x, filters, self.strides, padding, self.dilation)
        taps = self.taps(x)
        rows = [taps[at : at + kw] for at in range(0, len(taps), kw)]
        return side_by_side([side_by_side(row) for row in rows])

    def taps(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Returns what each tap reads, row by row: kh * kw of [B, H', W', C]."""
        kh, kw = self.kernel
        if self.strides != (1, 1) and kh * kw <= DENSE:
            reads = itertools.product(self._reads(1), self._reads(2))
            return [sum_at(x, [at], self.strides, self.out) for at in reads]
        rows = [self.along(x, 1, i) for i in range(kh)]
        return [self.along(r, 2, j) for r in rows for j in range(kw)]

    def scatter(self, patches: tf.Tensor) -> tf.Tensor:
        """Returns the transpose of `patches`: [B, H', W', kh kw C] -> [B, H, W, C]."""
        kh, kw = self.kernel
        width = patches.shape[-1] // kh
        rows = self.scatter_along(
            [cut(patches, -1, i * width, width) for i in range(kh)], 1
        )
        c = width // kw
        return self.scatter_along([cut(rows, -1, j * c, c) for j in range(kw)], 2)

    def scatter_columns(self, columns: tf.Tensor) -> tf.Tensor:
        """Returns what `scatter` does, along the width and without dilation, by one
        stencil for each phase of the stride: [B, H, W', kw C] -> [B, H, W, C]."""
        (_, kw), (_, stride), width = self.kernel, self.strides, self.size[1]
        if stride == 1:
            return sum_columns(columns, kw, self.padding[1][0], width)
        b, h, w, c = columns.shape
        taps = tf.reshape(columns, [b, h, w * kw, c // kw])
        phases: list[list[tuple[int, int]]] = [[] for _ in range(stride)]
        for tap, (whole, phase) in enumerate(self.phases(2)):
            phases[phase].append((0, tap - whole * kw))
        size = h, -(-width // stride)
        sums = [sum_at(taps, at, (1, kw), size) if at else None for at in phases]
        return shifted(join_phases(sums, 2), 2, 0, width)

    def along(self, x: tf.Tensor, axis: int, tap: int) -> tf.Tensor:
        """Returns what one tap reads along one axis: x[r * stride + tap - pad]."""
        stride, out = self.strides[axis - 1], self.out[axis - 1]
        offset = self._reads(axis)[tap]
        if stride == 1:
            return shifted(x, axis, offset, out)
        if axis == 1:
            return sum_at(x, [(offset, 0)], (stride, 1), (out, x.shape[2]))
        return sum_at(x, [(0, offset)], (1, stride), (x.shape[1], out))

    def scatter_along(self, taps: list[tf.Tensor], axis: int) -> tf.Tensor:
        """Returns the transpose of all `along` of one axis, summed."""
        size, stride = self.size[axis - 1], self.strides[axis - 1]
        length = -(-size // stride)
        phases: list[list[tf.Tensor]] = [[] for _ in range(stride)]
        for (whole, phase), value in zip(self.phases(axis), taps, strict=True):
            phases[phase].append(shifted(value, axis, -whole, length))
        sums = [summed(p) if p else None for p in phases]
        return shifted(join_phases(sums, axis), axis, 0, size)

    def phases(self, axis: int) -> list[tuple[int, int]]:
        """Returns for each tap along an axis (whole, phase): output r reads the input
        at (r + whole) * stride + phase."""
        stride = self.strides[axis - 1]
        return [divmod(offset, stride) for offset in self._reads(axis)]

    def _reads(self, axis: int) -> list[int]:
        """Returns for each tap along an axis what output 0 reads."""
        dilation, before = self.dilation[axis - 1], self.padding[axis - 1][0]
        return [tap * dilation - before for tap in range(self.kernel[axis - 1])]
