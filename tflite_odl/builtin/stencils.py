"""Shifts and sums of shifts as grouped CONV_2D with constant filters of ones and zeros.

XNNPACK runs a grouped convolution of one channel each as a depthwise kernel: one pass
over memory, its own zeros at the border, any stride. The same by SLICE, CONCATENATION
and ADD takes twice to three times as long where activations leave the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.space import overhangs, same_padding, shifted

# A dense filter up to this long is faster than a dilated one: XNNPACK's kernels take 3,
# 4, 9 or 25 taps, and that of 9 is the best tuned.
DENSE = 9


def stencil(
    x: tf.Tensor,
    taps: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    dilations: tuple[int, int] = (1, 1),
) -> tf.Tensor:
    """Returns y [B, H', W', C]: each channel convolved with its own constant taps.

    Args:
      x: [B, H, W, C].
      taps: [kh, kw], or [kh, kw, C] where channels differ.
      strides: (sh, sw);  padding: "SAME" or "VALID";  dilations: (dh, dw).
    """
    kh, kw, *_ = taps.shape
    channels = x.shape[-1]
    taps = np.broadcast_to(taps.reshape(kh, kw, 1, -1), (kh, kw, 1, channels))
    return convolved(x, taps, strides, padding, dilations)


def convolved(
    x: tf.Tensor,
    filters: np.ndarray,
    strides: tuple[int, int],
    padding: str,
    dilations: tuple[int, int],
) -> tf.Tensor:
    """Returns CONV_2D of x [B, H, W, C] with constant filters [kh, kw, C or 1, F]."""
    # The API function refuses strides with dilations; the op and LiteRT do not.
    return tf.raw_ops.Conv2D(
        input=x,
        filter=tf.constant(filters, tf.float32),
        strides=[1, *strides, 1],
        padding=padding,
        dilations=[1, *dilations, 1],
    )


def sum_at(
    x: tf.Tensor,
    offsets: Sequence[tuple[int, int]],
    strides: tuple[int, int],
    size: tuple[int, int],
) -> tf.Tensor:
    """Returns y [B, *size, C]: y[r, s] is the sum over the offsets (i, j) of
    x[r sh + i, s sw + j], zero outside x [B, H, W, C]."""
    ways = zip(zip(*offsets), strides, size)
    along = [(x.shape[axis], *way) for axis, way in enumerate(ways, 1)]
    for padding in ("VALID", "SAME"):
        fits = [_fit(padding, *way) for way in along]
        if all(fits):
            break
    else:
        padding, fits = "VALID", []
        for axis, (_, places, stride, count) in enumerate(along, 1):
            begin, length = min(places), max(places) - min(places) + 1
            x = shifted(x, axis, begin, (count - 1) * stride + length)
            fits.append((length, -begin))
    (kh, top), (kw, left) = fits
    taps = np.zeros((kh, kw))
    for i, j in offsets:
        taps[i + top, j + left] = 1
    return stencil(x, taps, strides, padding)


def _fit(
    padding: str, length: int, offsets: Sequence[int], stride: int, size: int
) -> tuple[int, int] | None:
    """Returns (kernel size, zeros before) along one axis for which TensorFlow's padding
    gives `size` outputs and the kernel reaches all offsets, or None."""
    reach = max(offsets) - min(min(offsets), 0) + 1
    for kernel in range(reach, 2 * reach + stride + 1):
        before, count = 0, (length - kernel) // stride + 1
        if padding == "SAME":
            if overhangs(length, kernel, stride):
                continue
            before, count = (
                same_padding(length, kernel, stride)[0],
                -(-length // stride),
            )
        covered = min(offsets) + before >= 0 and max(offsets) + before < kernel
        if count == size and covered:
            return kernel, before
    return None


def neighbour(x: tf.Tensor, axis: int, offset: int) -> tf.Tensor:
    """Returns y[r] = x[r + offset] along axis 1 or 2, zero outside x, in x's shape."""
    if not offset:
        return x
    taps = np.eye(2 * abs(offset) + 1)[-1 if offset > 0 else 0]
    return stencil(x, taps.reshape((-1, 1) if axis == 1 else (1, -1)))


def moved(x: tf.Tensor, axis: int, offset: int, size: int) -> tf.Tensor:
    """Returns y, `size` long: y[r] = x[r + offset] along the axis, zero outside x."""
    if size == x.shape[axis] and abs(offset) < DENSE // 2:
        return neighbour(x, axis, offset)
    return shifted(x, axis, offset, size)


def sum_rows(z: tf.Tensor, count: int, before: int, size: int) -> tf.Tensor:
    """Returns y [B, size, W, C]: y[r] is the sum over i of z_i[r + i - before].

    Args:
      z: [B, H, W, count C], parts z_i side by side along the channels.
      count: number of parts.
      before: rows of zeros taken above z; below it, as many as are needed.
      size: rows of y.
    """
    if count == 1:
        return shifted(z, 1, -before, size)
    b, h, w, c = z.shape
    after = size + count - 1 - before - h
    padding = "SAME"
    if (before, after) != same_padding(h, count, 1):
        z, padding = shifted(z, 1, -before, before + h + after), "VALID"
    # Part i of column w is column count * w + i: the taps lie on a diagonal.
    columns = tf.reshape(z, [b, z.shape[1], w * count, c // count])
    return stencil(columns, np.eye(count), (1, count), padding)


def sum_columns(z: tf.Tensor, count: int, before: int, size: int) -> tf.Tensor:
    """Returns y [B, H, size, C]: y[m] is the sum over j of z_j[m + before - j].

    Args:
      z: [B, H, W, count C], parts z_j side by side along the channels.
      count: number of parts.
      before: see above; z is zero outside.
      size: columns of y.
    """
    if count == 1:
        return shifted(z, 2, before, size)
    b, h, w, c = z.shape
    # Part j of column w is column count * w + j: the taps lie `gap` apart.
    gap = count - 1
    taps, padding = [1.0] * count, "SAME"
    if w != size or 2 * before != count - 1:
        # Zeros on both sides until each column of y has all its parts: one gap more
        # than the first tap needs.
        taps, padding = [0.0, *taps], "VALID"
        z = shifted(z, 2, before + 1 - count, size + count - 1)
    columns = tf.reshape(z, [b, h, z.shape[2] * count, c // count])
    reach = (len(taps) - 1) * gap + 1
    if reach > DENSE:
        return stencil(columns, np.array([taps]), (1, count), padding, (1, gap))
    dense = np.zeros((1, reach))
    dense[0, ::gap] = taps
    return stencil(columns, dense, (1, count), padding)
