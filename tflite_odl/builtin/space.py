"""Shifts and cuts of [B, H, W, C] by SLICE and CONCATENATION.

STRIDED_SLICE has only a reference kernel and PAD costs several times a SLICE, so parts
are cut by slices, and zeros come as constants joined on.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence

import tensorflow as tf

from tflite_odl.builtin.zeros import zeros

# XNNPACK delegates a CONCATENATION of at most so many inputs.
MOST_JOINED = 5


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


def joined(tensors: Sequence[tf.Tensor], axis: int) -> tf.Tensor:
    """Returns the concatenation, a few at a time as XNNPACK takes them."""
    while len(tensors) > MOST_JOINED:
        groups = range(0, len(tensors), MOST_JOINED)
        tensors = [joined(tensors[at : at + MOST_JOINED], axis) for at in groups]
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis)


def side_by_side(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the tensors joined along the channels."""
    return joined(tensors, -1)


def parts(x: tf.Tensor, count: int, axis: int = -1) -> list[tf.Tensor]:
    """Returns x in equal parts along an axis."""
    size = x.shape[axis] // count
    return [cut(x, axis, k * size, size) for k in range(count)]


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


def overhangs(size: int, kernel: int, stride: int) -> bool:
    """Returns whether the image goes on behind what the last of SAME's windows reads.

    Up to LiteRT 2.1 XNNPACK takes that remainder, which is less than nothing to pad,
    for a very large padding, and a convolution's outputs are wrong without an error.
    """
    return (-(-size // stride) - 1) * stride + kernel < size


def join_phases(phases: list[tf.Tensor | None], axis: int) -> tf.Tensor:
    """Returns y along axis 1 or 2 of [B, H, W, C] with y[k::stride] = phases[k]; None
    stands for zeros."""
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
