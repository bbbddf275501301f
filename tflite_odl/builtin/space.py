"""Shifts and sliding windows over [B, H, W, C] by SLICE and CONCATENATION.

STRIDED_SLICE has only a reference kernel and PAD costs several times a SLICE, so
windows are cut from slices, and zeros come as constants joined on.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence

import tensorflow as tf

from tflite_odl.builtin.zeros import zeros

# XNNPACK takes a CONCATENATION of at most so many inputs.
MOST_JOINED = 5

Pads = tuple[tuple[int, int], tuple[int, int]]


def shifted(x: tf.Tensor, axis: int, offset: int, size: int) -> tf.Tensor:
    """Returns y, `size` long: y[r] = x[r + offset] along the axis, zero outside x."""
    length = x.shape[axis]
    low, high = max(offset, 0), min(offset + size, length)
    if high <= low:
        return _zeros(x, axis, size)
    middle = x if (low, high) == (0, length) else cut(x, axis, low, high - low)
    before, after = low - offset, offset + size - high
    joined = [middle]
    if before:
        joined.insert(0, _zeros(x, axis, before))
    if after:
        joined.append(_zeros(x, axis, after))
    return middle if len(joined) == 1 else tf.concat(joined, axis)


def cut(x: tf.Tensor, axis: int, begin: int, size: int) -> tf.Tensor:
    """Returns x[begin : begin + size] along the axis."""
    if size == x.shape[axis]:
        return x
    start, shape = [0] * x.shape.rank, x.shape.as_list()
    start[axis % x.shape.rank], shape[axis] = begin, size
    return tf.slice(x, start, shape)


def side_by_side(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the tensors joined along the channels."""
    while len(tensors) > 1:
        starts = range(0, len(tensors), MOST_JOINED)
        groups = [tensors[at : at + MOST_JOINED] for at in starts]
        tensors = [tf.concat(g, -1) if len(g) > 1 else g[0] for g in groups]
    return tensors[0]


def parts(x: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Returns x in equal parts along the channels."""
    size = x.shape[-1] // count
    return [cut(x, -1, k * size, size) for k in range(count)]


def summed(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns the sum by ADD; ADD_N would leave the XNNPACK partition."""
    return functools.reduce(operator.add, tensors)


def _zeros(x: tf.Tensor, axis: int, size: int) -> tf.Tensor:
    shape = x.shape.as_list()
    shape[axis] = size
    return zeros(shape)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns TensorFlow's SAME padding before and after, for one axis."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


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

    def patches(self, x: tf.Tensor) -> tf.Tensor:
        """Returns [B, H', W', kh * kw * C], the taps side by side, row by row."""
        rows = [self.along(x, 1, i) for i in range(self.kernel[0])]
        return side_by_side([side_by_side(self._columns(row)) for row in rows])

    def taps(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Returns what each tap reads, row by row: kh * kw of [B, H', W', C]."""
        rows = [self.along(x, 1, i) for i in range(self.kernel[0])]
        return [self.along(r, 2, j) for r in rows for j in range(self.kernel[1])]

    def _columns(self, row: tf.Tensor) -> list[tf.Tensor]:
        """Returns the width taps in order, those that stay side by side as one part."""
        stride, kernel = self.strides[1], self.kernel[1]
        if stride == 1 or self.dilation[1] > 1:
            return [self.along(row, 2, j) for j in range(kernel)]
        b, h, w, c = row.shape
        length = -(-w // stride)
        blocks = shifted(row, 2, 0, length * stride)
        blocks = tf.reshape(blocks, [b, h, length, stride * c])
        places = [divmod(self._axis(2, j)[2], stride) for j in range(kernel)]
        found = []
        for whole in sorted({whole for whole, _ in places}):
            phases = [phase for place, phase in places if place == whole]
            part = cut(blocks, 3, phases[0] * c, len(phases) * c)
            found.append(shifted(part, 2, whole, self.out[1]))
        return found

    def scatter(self, patches: tf.Tensor) -> tf.Tensor:
        """Returns the transpose of `patches`: [B, H', W', kh kw C] -> [B, H, W, C]."""
        kh, kw = self.kernel
        width = patches.shape[-1] // kh
        rows = self.scatter_along(
            [cut(patches, -1, i * width, width) for i in range(kh)], 1
        )
        c = width // kw
        return self.scatter_along([cut(rows, -1, j * c, c) for j in range(kw)], 2)

    def scatter_taps(self, taps: list[tf.Tensor]) -> tf.Tensor:
        """Returns the transpose of `taps`."""
        kw = self.kernel[1]
        columns = [
            self.scatter_along(taps[i * kw : (i + 1) * kw], 2)
            for i in range(self.kernel[0])
        ]
        return self.scatter_along(columns, 1)

    def along(self, x: tf.Tensor, axis: int, tap: int) -> tf.Tensor:
        """Returns what one tap reads along one axis: x[r * stride + tap - pad]."""
        stride, out, offset = self._axis(axis, tap)
        if stride == 1:
            return shifted(x, axis, offset, out)
        whole, phase = divmod(offset, stride)
        length = -(-x.shape[axis] // stride)
        phases = split_phases(shifted(x, axis, 0, length * stride), axis, stride)
        return shifted(phases[phase], axis, whole, out)

    def scatter_along(self, taps: list[tf.Tensor], axis: int) -> tf.Tensor:
        """Returns the transpose of all `along` of one axis, summed."""
        size = self.size[axis - 1]
        stride = self.strides[axis - 1]
        length = -(-size // stride)
        phases: list[list[tf.Tensor]] = [[] for _ in range(stride)]
        for tap, value in enumerate(taps):
            whole, phase = divmod(self._axis(axis, tap)[2], stride)
            phases[phase].append(shifted(value, axis, -whole, length))
        sums = [summed(p) if p else None for p in phases]
        return shifted(join_phases(sums, axis), axis, 0, size)

    def _axis(self, axis: int, tap: int) -> tuple[int, int, int]:
        at = axis - 1
        offset = tap * self.dilation[at] - self.padding[at][0]
        return self.strides[at], self.out[at], offset


def split_phases(x: tf.Tensor, axis: int, stride: int) -> list[tf.Tensor]:
    """Returns x[0::stride], x[1::stride], ... along axis 1 or 2 of [B, H, W, C]."""
    b, h, w, c = x.shape
    if axis == 1:
        folded = tf.reshape(x, [b, h // stride, stride * w, c])
        return [cut(folded, 2, k * w, w) for k in range(stride)]
    folded = tf.reshape(x, [b, h, w // stride, stride * c])
    return [cut(folded, 3, k * c, c) for k in range(stride)]


def join_phases(phases: list[tf.Tensor | None], axis: int) -> tf.Tensor:
    """Returns the transpose of `split_phases`; None stands for zeros."""
    if len(phases) == 1:
        return phases[0]
    b, h, w, c = next(phase for phase in phases if phase is not None).shape
    width = w if axis == 1 else c
    joined = _join(phases, axis + 1, width)
    if axis == 1:
        return tf.reshape(joined, [b, h * len(phases), w, c])
    return tf.reshape(joined, [b, h, w * len(phases), c])


def _join(phases: list[tf.Tensor | None], axis: int, width: int) -> tf.Tensor:
    """Returns the phases side by side along the axis, by PAD where some are zeros: as a
    constant the zeros would be stored in the file."""
    filled = [k for k, phase in enumerate(phases) if phase is not None]
    joined, end = phases[filled[0]], filled[0] + 1
    paddings = [[0, 0] for _ in range(joined.shape.rank)]
    for k in filled[1:]:
        paddings[axis] = [0, (k - end) * width]
        joined = tf.pad(joined, paddings) if k > end else joined
        joined, end = tf.concat([joined, phases[k]], axis), k + 1
    paddings[axis] = [filled[0] * width, (len(phases) - end) * width]
    return tf.pad(joined, paddings) if any(paddings[axis]) else joined
