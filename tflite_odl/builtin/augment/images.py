"""SimCLR's changes of images: crop, flip, colours, grey.

Crop and flip are linear in the pixels along each axis: two interpolation matrices per
image and two batched products. Brightness, contrast, saturation, hue and grey are
affine in a pixel's colour: one 3 x 3 matrix and one number per image.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tflite_odl.builtin import random
from tflite_odl.builtin.augment.draws import between, chosen
from tflite_odl.builtin.lazy import tf
from tflite_odl.builtin.products import matmul
from tflite_odl.errors import ModelError

# What an image draws, a number each, in this order.
DRAWS = ("area", "ratio", "top", "left", "flip")
COLOUR_DRAWS = ("jitter", "brightness", "contrast", "saturation", "hue", "grey")
# Luma of ITU-R BT.601, and the two colour differences of the same standard.
LUMA = np.array([0.299, 0.587, 0.114])
DIFFERENCES = np.array([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclasses.dataclass(frozen=True)
class ImageAugmentation:
    """SimCLR's augmentation of images [B, H, W, C], without its blur.

    A crop of random area and aspect ratio, lying anywhere in the image, is resized to
    the image's size, bilinearly and at fractions of pixels. Colours are changed one
    after the other (which order makes no difference, since values are clipped to the
    range once, at the end): brightness x b; contrast, away from the image's mean luma,
    x c; saturation, away from each pixel's luma, x s; hue, turned about the grey axis
    by an angle; grey, each pixel by its luma.

    Attributes:
      area: smallest and largest share of the image that a crop has.
      ratio: smallest and largest width / height of a crop.
      flip: probability that left and right change places.
      strength: of the colour changes: b, c and s lie within 1 -+ 0.8 strength, the hue
        turns by up to 0.2 strength of a circle; 0 changes no colour.
      jitter: probability that an image's colours are changed.
      grey: probability that an image loses its colours.
      values: lowest and highest value of a pixel, before and after; None: of a byte.

    References: Chen et al., 2020, arXiv:2002.05709, appendix A.
    """

    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    strength: float = 0.5
    jitter: float = 0.8
    grey: float = 0.2
    values: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        ranges = {"area": (self.area, 1.0), "ratio": (self.ratio, math.inf)}
        ranges["values"] = (self.range, math.inf)
        for name, ((low, high), top) in ranges.items():
            if not (low <= high <= top and math.isfinite(high - low)):
                raise ModelError(f"{name} is {low} to {high}, needs an ascending range")
        for name in ("area", "ratio"):
            if getattr(self, name)[0] <= 0:
                raise ModelError(f"{name} starts at {getattr(self, name)[0]}, not > 0")
        if self.range[0] == self.range[1]:
            raise ModelError(f"values are {self.values}, need a range")
        for name, top in (("flip", 1), ("jitter", 1), ("grey", 1), ("strength", 1.25)):
            if not 0 <= getattr(self, name) <= top:
                raise ModelError(f"{name} is {getattr(self, name)}, needs 0 to {top}")

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value of a pixel."""
        return (0.0, 255.0) if self.values is None else self.values

    @property
    def colours(self) -> bool:
        """Whether any colour is ever changed."""
        return bool(self.strength and self.jitter or self.grey)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ModelError if images of the shape (H, W, C) cannot be augmented."""
        if len(shape) != 3:
            raise ModelError(
                f"image augmentation needs inputs [H, W, C], the model has {shape}: "
                "use the sensors' for windows [T, C]"
            )
        if self.colours and shape[2] != 3:
            raise ModelError(
                f"colour changes need 3 channels, the images have {shape[2]}: set "
                "strength=0 and grey=0"
            )

    def draw(
        self, state: tf.Tensor, salts: tuple[int, ...], shape: tuple[int, ...]
    ) -> dict[str, tf.Tensor]:
        """Returns {name: [B, 1] float32 in [0, 1)}, what `apply` takes.

        Args:
          state: [2] int32, see `builtin.random`.
          salts: the first tells these draws from others of the step.
          shape: B, H, W, C.
        """
        names = DRAWS + (COLOUR_DRAWS if self.colours else ())
        uniform = random.uniform(state, [shape[0], len(names)], salts[0])
        return {name: uniform[:, k : k + 1] for k, name in enumerate(names)}

    def apply(self, x: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the images changed, [B, H, W, C] float32 within `values`.

        Args:
          x: [B, H, W, C] float32, as the sensor gives it.
          draws: as `draw` returns them.
        """
        self.check(tuple(x.shape[1:]))
        x = self._cropped(x, draws)
        return self._coloured(x, draws) if self.colours else x

    def _cropped(self, x: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        batch, height, width, channels = x.shape
        share = between(draws["area"], *self.area)
        low, high = (math.log(bound) for bound in self.ratio)
        ratio = tf.exp(between(draws["ratio"], low, high) * 0.5)
        side = tf.sqrt(share * float(height * width))
        tall = tf.clip_by_value(side / ratio, 1.0, float(height))
        wide = tf.clip_by_value(side * ratio, 1.0, float(width))
        never = tf.zeros_like(share)
        flip = chosen(draws["flip"], self.flip)
        rows = _interpolation(height, tall, draws["top"], never)
        columns = _interpolation(width, wide, draws["left"], flip)
        x = matmul(rows, tf.reshape(x, [batch, height, width * channels]))
        x = _swapped(x, height, width, channels)
        return _swapped(matmul(columns, x), width, height, channels, images=True)

    def _coloured(self, x: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        matrix, contrast, brightness = self._colour_change(draws)
        batch, height, width, channels = x.shape
        low, high = self.range
        if low:
            x = x - low
        pixels = tf.reshape(x, [batch, height * width, channels])
        mean = tf.reduce_mean(pixels, 1) @ LUMA.astype(np.float32)[:, np.newaxis]
        term = (1.0 - contrast) * brightness * mean
        changed = matmul(pixels, matrix) + tf.reshape(term, [batch, 1, 1])
        changed = tf.minimum(tf.nn.relu(changed), high - low)
        if low:
            changed = changed + low
        return tf.reshape(changed, [batch, height, width, channels])

    def _colour_change(self, draws: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Returns (matrix [B, 3, 3] of colour rows, contrast and brightness [B, 1]).

        All changes are sums of three matrices: L takes a colour's luma, P what is left
        of it, Q turns that by a quarter of a circle. L L = L, P P = P, P Q = Q P = Q,
        Q Q = -P, all else 0; so with hue h and g = 0 where grey, else 1, their product
        is b c (L + g s (cos h P + sin h Q)), in any order.
        """
        jitter = chosen(draws["jitter"], self.jitter)
        reach = 0.8 * self.strength

        def factor(name: str) -> tf.Tensor:
            return between(draws[name], -reach, reach) * jitter + 1.0

        brightness, contrast = factor("brightness"), factor("contrast")
        turn = 2.0 * math.pi * 0.2 * self.strength
        angle = between(draws["hue"], -turn, turn) * jitter
        luma = brightness * contrast
        colour = luma * factor("saturation") * (1.0 - chosen(draws["grey"], self.grey))
        parts = [luma, colour * tf.cos(angle), colour * tf.sin(angle)]
        basis = _colour_basis().astype(np.float32)
        terms = [part * matrix for part, matrix in zip(parts, basis, strict=True)]
        return tf.reshape(sum(terms[1:], terms[0]), [-1, 3, 3]), contrast, brightness


def _colour_basis() -> np.ndarray:
    """Returns L, P and Q of `_colour_change`, transposed and flat, [3, 9] float64."""
    to_yiq = np.stack([LUMA, *DIFFERENCES])
    # Exactly: grey has no colour difference.
    to_yiq[1:] -= to_yiq[1:].mean(1, keepdims=True)
    back = np.linalg.inv(to_yiq)
    turn = np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]])
    luma = np.outer(np.ones(3), LUMA)
    matrices = [luma, np.eye(3) - luma, back @ turn @ to_yiq]
    return np.stack([matrix.T.reshape(9) for matrix in matrices])


def _interpolation(
    size: int, length: tf.Tensor, place: tf.Tensor, flip: tf.Tensor
) -> tf.Tensor:
    """Returns [B, size, size]: the matrix that resizes a part of an axis to the whole.

    Entry p of the result lies at y = start + (p + 1/2) length / size - 1/2, clipped to
    the axis, and is made of the entries q by max(0, 1 - |y - q|).

    Args:
      length: [B, 1], of the part, in entries.
      place: [B, 1] in [0, 1): where the part lies between both ends.
      flip: [B, 1], 1 where the result is to run backwards.
    """
    axis = np.arange(size, dtype=np.float32)
    centred = axis - np.float32((size - 1) / 2)
    centred = centred * (1.0 - 2.0 * flip)  # [B, size]
    middle = (float(size) - length) * place + (length - 1.0) * 0.5
    y = centred * (length * (1.0 / size)) + middle
    y = tf.clip_by_value(y, 0.0, float(size - 1))
    distance = tf.abs(tf.reshape(y, [-1, size, 1]) - axis)
    return tf.nn.relu(1.0 - distance)


def _swapped(
    x: tf.Tensor, first: int, second: int, channels: int, images: bool = False
) -> tf.Tensor:
    """Returns [B, first, second * C] with both axes swapped, the last two joined."""
    x = tf.transpose(tf.reshape(x, [-1, first, second, channels]), [0, 2, 1, 3])
    return x if images else tf.reshape(x, [-1, second, first * channels])
