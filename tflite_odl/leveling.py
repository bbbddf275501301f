"""The arithmetic that puts trained weights on few levels, as a serving file has them.

A quantized kernel is whole numbers times a scale for each output channel. Export and
host both import this: NumPy only, in float32 and in the training graph's order of
operations, so that each weight falls on the level that it has in training. Equations:
`builtin/quantizers`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

Arrays = Mapping[str, np.ndarray]

# A bound or a range below it counts as this.
LEAST = 1e-3
# Of a bound: where it begins.
DEVIATIONS = 2.5
# Of a ternary weight's mean size: below it the weight is 0 (Li and Liu, 2016,
# arXiv:1605.04711).
THRESHOLD = 0.7
# The runtime takes what is smaller for 0, and refuses it as a scale.
TINY = np.finfo(np.float32).tiny


@dataclasses.dataclass(frozen=True)
class Levels:
    """A quantizer of a kernel.

    Attributes:
      kind: "binary", "ternary" or "rounded".
      clipping: a key of `quantizers.CLIPPINGS`.
      bits: of rounded weights.
      clip: name of the trained bounds, if they are.
    """

    kind: str
    clipping: str
    bits: int = 1
    clip: str | None = None

    @property
    def width(self) -> int:
        """Bits that tell its levels apart."""
        return {"binary": 1, "ternary": 2}.get(self.kind, self.bits)

    def of(
        self, kernel: np.ndarray, axes: tuple[int, ...], weights: Arrays
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns (whole numbers in the kernel's shape, scale of each channel).

        Args:
          kernel: latent weights.
          axes: all but those of the output channels; the scale has size 1 there.
          weights: {name: array}, the bounds among them.
        """
        bound = self._bound(kernel, axes, weights)
        clipped = kernel
        if bound is not None:
            clipped = np.minimum(np.maximum(kernel, -bound), bound)
        if self.kind == "rounded":
            n = kernel.dtype.type(2.0 ** (self.bits - 1) - 1.0)
            return np.rint(clipped / bound * n), bound * kernel.dtype.type(1.0 / n)
        size = np.abs(clipped)
        scale = _mean(size, axes)
        levels = np.where(clipped > -TINY, 1, -1).astype(kernel.dtype)
        if self.kind == "binary":
            return levels, scale
        kept = (size > kernel.dtype.type(THRESHOLD) * scale).astype(kernel.dtype)
        count = np.maximum(kept.sum(axes, keepdims=True), 1)
        return levels * kept, (size * kept).sum(axes, keepdims=True) / count

    def _bound(self, kernel, axes, weights) -> np.ndarray | None:
        """Returns c in the kernel's rank, None where nothing is clipped."""
        least = kernel.dtype.type(LEAST)
        if self.clipping == "none":
            return None
        shape = [1 if axis in axes else n for axis, n in enumerate(kernel.shape)]
        if self.clipping == "one":
            return np.ones(shape, kernel.dtype)
        if self.clipping == "largest":
            return np.maximum(np.abs(kernel).max(axes, keepdims=True), least)
        if self.clipping == "deviations":
            centred = kernel - _mean(kernel, axes)
            spread = np.sqrt(_mean(centred * centred, axes))
            return np.maximum(kernel.dtype.type(DEVIATIONS) * spread, least)
        return np.maximum(weights[self.clip].reshape(shape), least)


def _mean(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return x.sum(axes, keepdims=True) * x.dtype.type(1.0 / count)


@dataclasses.dataclass(frozen=True)
class Range:
    """One number of what rounds activations: y = round(clip(a, l, r) n / r) r / n.

    Attributes:
      part: "high" is r, "low" -r, "per_step" n / r; "step" r / n, a factor of the
        kernel that reads the whole numbers.
      range: name of the trained range [1]; r is at least `LEAST`.
      count: n.
    """

    PARTS: ClassVar = ("high", "low", "per_step", "step")

    part: str
    range: str
    count: float

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the weights it reads."""
        return (self.range,)

    def value(self, weights: Arrays) -> np.ndarray:
        """Returns the number, [1]."""
        given = weights[self.range]
        r, n = np.maximum(given, given.dtype.type(LEAST)), given.dtype.type(self.count)
        return {
            "high": r,
            "low": -r,
            "per_step": n / r,
            "step": r * given.dtype.type(1.0 / n),
        }[self.part]

    def renamed(self, names: Mapping[str, str]) -> Range:
        """Returns the same of a range that has another name."""
        return dataclasses.replace(self, range=names.get(self.range, self.range))

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON."""
        return dataclasses.asdict(self)
