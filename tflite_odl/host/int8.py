"""What of an int8 serving twin is baked: ranges, and weights on the steps they make.

Everything is made of the state by `quantizing`; places are byte offsets in the file,
its numbers little-endian.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflite_odl import quantizing
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.folding import Arrays, Formula

Put = Callable[[int, np.ndarray], None]
Value = Callable[[Formula], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Span:
    """The range of one activation, and where the file has its scale and zero point.

    Attributes:
      name: the node it is of.
      low, high: as calibrated.
      seen: places in the state's tensor of what training has seen: how far below 0 and
        how far above 0 it went; None where that is not followed.
      scale: offset of one float32.
      zero_point: offset of one int64.
    """

    name: str
    low: float
    high: float
    seen: tuple[int | None, int | None]
    scale: int
    zero_point: int

    def ends(self, seen: np.ndarray) -> quantizing.Range:
        """Returns the range, widened to what was seen, with 0 on one of its steps."""
        below, above = self.seen
        low = self.low if below is None else min(self.low, -float(seen[below]))
        high = self.high if above is None else max(self.high, float(seen[above]))
        return quantizing.nudged(*quantizing.widened(low, high))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Span:
        return cls(**{**content, "seen": tuple(content["seen"])})


@dataclasses.dataclass(frozen=True)
class Layer:
    """The weights of one int8 layer, and where the file has them.

    Attributes:
      kernel: formula of the kernel in float32.
      bias: formula of the bias; None: it is zeros.
      axes: of the kernel, from the end, that its scales run over; none: one for all.
      source: name of the `Span` of what it reads.
      offset: of the kernel, int8.
      order: of the kernel's axes in the file.
      scales: offset of the kernel's scales, float32.
      bias_offset: of the bias, int32.
      bias_scales: offset of its scales, float32.
    """

    kernel: Formula
    bias: Formula | None
    axes: tuple[int, ...]
    source: str
    offset: int
    order: tuple[int, ...]
    scales: int
    bias_offset: int
    bias_scales: int

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the weights it is made of."""
        more = () if self.bias is None else self.bias.sources
        return (*self.kernel.sources, *more)

    def quantized(self, value: Value, step: float) -> quantizing.Quantized:
        """Returns its weights; value: formula -> array; step: of what it reads."""
        kernel = value(self.kernel)
        bias = np.zeros(self.kernel.channels, np.float32)
        if self.bias is not None:
            bias = value(self.bias)
        return quantizing.quantized(kernel, bias, self.axes, step)

    def to_json(self) -> dict[str, Any]:
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        content["kernel"] = self.kernel.to_json()
        content["bias"] = None if self.bias is None else self.bias.to_json()
        return {**content, "axes": list(self.axes), "order": list(self.order)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Layer:
        bias = content["bias"]
        own = {
            "kernel": Formula.from_json(content["kernel"]),
            "bias": None if bias is None else Formula.from_json(bias),
            "axes": tuple(content["axes"]),
            "order": tuple(content["order"]),
        }
        return cls(**{**content, **own})


@dataclasses.dataclass(frozen=True)
class Int8:
    """What of a twin is int8.

    Attributes:
      spans: every range of an activation.
      layers: those whose weights training changes.
      seen: name of the state's tensor of what training has seen; empty: nothing is
        followed.
    """

    spans: tuple[Span, ...] = ()
    layers: tuple[Layer, ...] = ()
    seen: str = ""

    def ranges(self, state: Arrays) -> dict[str, quantizing.Range]:
        """Returns {node: range} that a state makes.

        Raises:
          ArtifactError: a place is not in the state's tensor.
          CheckpointError: the state lacks what training has seen, or it is not finite.
        """
        seen = np.zeros(0)
        if self.seen:
            if self.seen not in state or not np.isfinite(state[self.seen]).all():
                raise CheckpointError(
                    f"the state needs {self.seen!r}, finite numbers: the ranges of the "
                    "int8 twin are made of them"
                )
            seen = state[self.seen]
        places = [at for span in self.spans for at in span.seen if at is not None]
        if places and not 0 <= min(places) <= max(places) < len(seen):
            raise ArtifactError(
                f"the int8 twin is made of {max(places) + 1} numbers of {self.seen!r}, "
                f"the state has {len(seen)}"
            )
        return {span.name: span.ends(seen) for span in self.spans}

    def write(self, put: Put, value: Value, state: Arrays) -> None:
        """Writes everything that a state makes.

        Args:
          put: (offset, array) -> writes it in C order, little-endian.
          value: formula -> float32 array.
          state: by name.
        """
        encodings = {n: quantizing.encoding(*r) for n, r in self.ranges(state).items()}
        for span in self.spans:
            step, zero_point = encodings[span.name]
            put(span.scale, np.array([step], np.float32))
            put(span.zero_point, np.array([zero_point], np.int64))
        for layer in self.layers:
            found = layer.quantized(value, encodings[layer.source][0])
            if sorted(layer.order) != list(range(found.kernel.ndim)):
                raise ArtifactError(
                    f"the manifest has axes in the order {list(layer.order)}, the "
                    f"kernel of {list(layer.sources)} is {list(found.kernel.shape)}"
                )
            put(layer.offset, found.kernel.transpose(layer.order))
            put(layer.scales, found.scales.astype(np.float32))
            put(layer.bias_offset, found.bias)
            put(layer.bias_scales, found.bias_scales.astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        spans = [{**dataclasses.asdict(s), "seen": list(s.seen)} for s in self.spans]
        return {
            "spans": spans,
            "layers": [layer.to_json() for layer in self.layers],
            "seen": self.seen,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Int8:
        """Reads what `to_json` gives; raises KeyError or TypeError on anything else,
        and where a layer reads from no span."""
        spans = {one["name"]: Span.from_json(one) for one in content["spans"]}
        layers = tuple(map(Layer.from_json, content["layers"]))
        for layer in layers:
            if layer.source not in spans:
                raise KeyError(layer.source)
        return cls(tuple(spans.values()), layers, content["seen"])
