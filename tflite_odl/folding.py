"""The arithmetic that makes a serving weight of trained ones: batch norm folded away.

Export and host both import this: NumPy only, and of few operations in a fixed order,
so that a phone repeats it bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tflite_odl.leveling import TINY, Arrays, Levels, Range

KERNEL, BIAS = "kernel", "bias"


@dataclasses.dataclass(frozen=True)
class Step:
    """y = (x - mean) f + offset with f = scale / sqrt(variance + epsilon), by channel.

    Each is the name of a weight [C]; one that is left out is 0 (mean, offset), 1
    (scale), or makes f the bare scale (variance).
    """

    scale: str | None = None
    offset: str | None = None
    mean: str | None = None
    variance: str | None = None
    epsilon: float = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the weights it reads."""
        names = (self.scale, self.offset, self.mean, self.variance)
        return tuple(name for name in names if name is not None)

    def factor(self, weights: Arrays) -> np.ndarray | None:
        """Returns f [C] in the weights' dtype; None: 1."""
        scale = None if self.scale is None else weights[self.scale]
        if self.variance is None:
            return scale
        variance = weights[self.variance]
        deviation = np.sqrt(variance + variance.dtype.type(self.epsilon))
        return (deviation.dtype.type(1) if scale is None else scale) / deviation

    def shifted(self, bias: np.ndarray, weights: Arrays) -> np.ndarray:
        """Returns what the step makes of a bias [C]."""
        factor = self.factor(weights)
        if self.mean is not None:
            bias = bias - weights[self.mean]
        if factor is not None:
            bias = bias * factor
        return bias if self.offset is None else bias + weights[self.offset]


@dataclasses.dataclass(frozen=True)
class Formula:
    """How one weight of a serving graph is made of weights of the training graph.

    With f_i the factors of the steps, kernel' = kernel f_1 f_2 ..., along the channels,
    and bias' is what the steps make of the bias, one after the other.

    Attributes:
      part: "kernel" or "bias", which of the two it is.
      kernel: name of the kernel; None stands for ones [C].
      bias: name of the bias; None stands for zeros.
      axes: the kernel's axes that its channels run over, counted from the end.
      channels: C.
      steps: what is folded in, in order.
      levels: how the kernel is quantized before that; None: not at all.
      reads: the step of what the layer reads as whole numbers, a factor of the kernel;
        None: it reads plain values.
    """

    part: str
    kernel: str | None
    bias: str | None
    axes: tuple[int, ...]
    channels: int
    steps: tuple[Step, ...] = ()
    levels: Levels | None = None
    reads: Range | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the weights it reads, each once."""
        own = self.kernel if self.part == KERNEL else self.bias
        names = [] if own is None else [own]
        if self.levels is not None and self.levels.clip is not None:
            names.append(self.levels.clip)
        if self.reads is not None:
            names += self.reads.sources
        for step in self.steps:
            names += step.sources
            if self.part == KERNEL:
                names = [n for n in names if n not in (step.offset, step.mean)]
        return tuple(dict.fromkeys(names))

    def value(self, weights: Arrays) -> np.ndarray:
        """Returns the serving weight, in the shape of the kernel or as [C].

        Args:
          weights: {name: array} of at least `sources`, of one floating dtype.
        """
        return self._kernel(weights) if self.part == KERNEL else self._bias(weights)

    def parts(self, weights: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Returns (whole numbers in the kernel's shape, int8, and the scale of each
        channel, [C] float32) of a quantized kernel: their product is `value`.

        Scales are positive and normal numbers, as runtimes ask for.
        """
        levels, scale = self._leveled(weights)
        for factor in self._factors(weights, levels):
            scale = scale * factor
        levels = np.where(scale < 0, -levels, levels)
        scale = np.maximum(np.abs(scale), TINY).astype(np.float32).reshape(-1)
        return levels.astype(np.int8), scale

    def _kernel(self, weights: Arrays) -> np.ndarray:
        if self.levels is None:
            kernel = self._given(self.kernel, weights, 1)
        else:
            levels, scale = self._leveled(weights)
            kernel = levels * scale
        for factor in self._factors(weights, kernel):
            kernel = kernel * factor
        return kernel

    def _leveled(self, weights: Arrays) -> tuple[np.ndarray, np.ndarray]:
        kernel = weights[self.kernel]
        own = {axis % kernel.ndim for axis in self.axes}
        summed = tuple(axis for axis in range(kernel.ndim) if axis not in own)
        return self.levels.of(kernel, summed, weights)

    def _factors(self, weights: Arrays, kernel: np.ndarray) -> Iterator[np.ndarray]:
        """Yields what the kernel is multiplied with, in the kernel's rank."""
        if self.reads is not None:
            yield self.reads.value(weights).reshape([1] * kernel.ndim)
        own = {axis % kernel.ndim for axis in self.axes}
        shape = [n if axis in own else 1 for axis, n in enumerate(kernel.shape)]
        for step in self.steps:
            factor = step.factor(weights)
            if factor is not None:
                yield factor.reshape(shape)

    def _bias(self, weights: Arrays) -> np.ndarray:
        bias = self._given(self.bias, weights, 0)
        for step in self.steps:
            bias = step.shifted(bias, weights)
        return bias

    def _given(self, name: str | None, weights: Arrays, otherwise: int) -> np.ndarray:
        if name is not None:
            return weights[name]
        dtype = next(weights[source].dtype for source in self.sources)
        return np.full(self.channels, otherwise, dtype)

    def renamed(self, names: Mapping[str, str]) -> Formula:
        """Returns the same formula of sources that have other names."""

        def new(name: str | None) -> str | None:
            return None if name is None else names.get(name, name)

        steps = tuple(
            Step(*map(new, (s.scale, s.offset, s.mean, s.variance)), s.epsilon)
            for s in self.steps
        )
        levels, reads = self.levels, self.reads
        if levels is not None:
            levels = dataclasses.replace(levels, clip=new(levels.clip))
        if reads is not None:
            reads = reads.renamed(names)
        own = {"kernel": new(self.kernel), "bias": new(self.bias), "steps": steps}
        return dataclasses.replace(self, **own, levels=levels, reads=reads)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON of it, without what is left out."""
        content = {
            "part": self.part,
            "kernel": self.kernel,
            "bias": self.bias,
            "axes": list(self.axes),
            "channels": self.channels,
            "steps": [_present(dataclasses.asdict(step)) for step in self.steps],
            "levels": self.levels and _present(dataclasses.asdict(self.levels)),
            "reads": self.reads and self.reads.to_json(),
        }
        return _present(content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Formula:
        """Reads what `to_json` gives; raises KeyError or TypeError on anything else."""
        return cls(
            content["part"],
            content.get("kernel"),
            content.get("bias"),
            tuple(content["axes"]),
            content["channels"],
            tuple(Step(**step) for step in content["steps"]),
            Levels(**content["levels"]) if "levels" in content else None,
            Range(**content["reads"]) if "reads" in content else None,
        )


def from_json(content: Mapping[str, Any]) -> Formula | Range:
    """Reads what `to_json` of a formula or a range gives."""
    if "range" in content:
        return Range(content["part"], content["range"], content["count"])
    return Formula.from_json(content)


def _present(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}
