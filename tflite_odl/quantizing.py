"""The arithmetic of int8: ranges of activations, and weights on 255 steps.

Export, host and phone make the same bytes of the same numbers, so this is NumPy of few
operations in a fixed order: in double, halves away from zero.
"""

from __future__ import annotations

import dataclasses

import numpy as np

Range = tuple[float, float]

# Of one tensor's values; weights leave the lowest one out.
STEPS, WEIGHT_STEPS = 255, 127
# The smallest range of a weight: below it the converter sets scales of its own.
LEAST = 1e-6
# The smallest range of an activation, as of a relu that is never above 0: between
# scales that are further apart than a few powers of ten XNNPACK takes no layer.
LEAST_ACTIVATION = 1e-3
# Half of what int32, in which biases are held, reaches.
MOST_BIAS = 2.0**30


def nudged(low: float, high: float) -> Range:
    """Returns the range moved by less than a step, so that 0 is one of its 256 values.

    TensorFlow and the converter would do it, too, but a zero point that is a half, as
    of -1 to 1, they round to different sides.
    """
    step = (high - low) / STEPS
    below = float(np.floor(-low / step + 0.5))
    return -below * step, (STEPS - below) * step


def widened(low: float, high: float) -> Range:
    """Returns the range with 0 in it, and not smaller than an activation's may be."""
    low, high = min(low, 0.0), max(high, 0.0)
    return low, max(high, low + LEAST_ACTIVATION)


def encoding(low: float, high: float) -> tuple[float, int]:
    """Returns (step, zero point) of a nudged range, whose ends are held in float32."""
    low, high = float(np.float32(low)), float(np.float32(high))
    step = (high - low) / STEPS
    return step, int(np.floor(-low / step + 0.5)) - 128


def away(x: np.ndarray) -> np.ndarray:
    """Returns x rounded, halves away from zero."""
    return np.trunc(x + np.copysign(0.5, x))


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A layer's weights in int8.

    Attributes:
      kernel: int8, in the shape of the kernel.
      scales: [C] or [1] double, of the kernel.
      bias: [C] int32.
      bias_scales: [C] or [1] double.
    """

    kernel: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    bias_scales: np.ndarray


def highs(
    kernel: np.ndarray, bias: np.ndarray | None, axes: tuple[int, ...], step: float
) -> np.ndarray:
    """Returns the largest absolute value that each scale must reach, float32.

    A bias is held in steps of kernel times input: where a channel's weights are next to
    nothing they get a wider range, so that its bias is not clipped without a word.

    Args:
      kernel: float32.
      bias: [C] float32, or None.
      axes: those of the kernel that its channels run over, from the end; none: one
        scale for all.
      step: of the input.
    """
    own = {axis % kernel.ndim for axis in axes}
    others = tuple(axis for axis in range(kernel.ndim) if axis not in own)
    high = np.abs(kernel).max(others).reshape(-1).astype(np.float64)
    if bias is not None:
        need = WEIGHT_STEPS * np.abs(bias.astype(np.float64)) / (step * MOST_BIAS)
        high = np.maximum(high, need if axes else need.max())
    return np.maximum(high, LEAST).astype(np.float32)


def quantized(
    kernel: np.ndarray, bias: np.ndarray, axes: tuple[int, ...], step: float
) -> Quantized:
    """Returns a layer's weights in int8; the arguments are those of `highs`.

    kernel' = kernel / s with s = high / 127, bias' = bias / (s step), both rounded.
    """
    scales = highs(kernel, bias, axes, step).astype(np.float64) / WEIGHT_STEPS
    own = {axis % kernel.ndim for axis in axes}
    shape = [n if axis in own else 1 for axis, n in enumerate(kernel.shape)]
    steps = away(kernel.astype(np.float64) / scales.reshape(shape))
    bias_scales = scales * step
    return Quantized(
        np.clip(steps, -WEIGHT_STEPS, WEIGHT_STEPS).astype(np.int8),
        scales,
        away(bias.astype(np.float64) / bias_scales).astype(np.int32),
        bias_scales,
    )


def steps(
    kernel: np.ndarray, axes: tuple[int, ...], bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (kernel / s rounded, int8; s, [C] or [1] double) without a bias.

    s = high / n with n = 127 for 8 bits, 7 for 4. Of 2 bits, -1, 0, 1, s = high / 1.5:
    what is below a third of the largest is 0.

    Args:
      kernel: float32.
      axes: of the kernel that its scales run over, from the end; none: one for all.
      bits: 8, 4 or 2.
    """
    most = 2 ** (bits - 1) - 1
    scales = highs(kernel, None, axes, 1.0).astype(np.float64)
    scales = scales / (most if bits > 2 else 1.5)
    own = {axis % kernel.ndim for axis in axes}
    shape = [n if axis in own else 1 for axis, n in enumerate(kernel.shape)]
    found = away(kernel.astype(np.float64) / scales.reshape(shape))
    return np.clip(found, -most, most).astype(np.int8), scales


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns int8 values, in C order, as bytes: the first of each byte lowest."""
    each = 8 // bits
    flat = np.zeros(-(-values.size // each) * each, np.uint8)
    flat[: values.size] = values.ravel().view(np.uint8) & (2**bits - 1)
    groups = flat.reshape(-1, each)
    return sum(groups[:, k] << np.uint8(k * bits) for k in range(each)).astype(np.uint8)
