"""One weight of a serving twin: how it is made, where it lies, in how many bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflite_odl import quantizing
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.folding import Formula

FLOATS = {"float32": np.float32, "float16": np.float16}
BITS = {"int8": 8, "int4": 4, "int2": 2}
# Of a weight in fewer bits: beside these it needs its scales.
ENCODINGS = (*FLOATS, *BITS)


@dataclasses.dataclass(frozen=True)
class Weight:
    """One weight of the twin.

    Attributes:
      formula: how it is made of tensors of the state and of the twin's constants.
      offset: of its first byte in the file.
      order: of the axes in the file: the value is transposed so, and stored in C order,
        little-endian.
      bytes: its size.
      encoding: one of `ENCODINGS`; integers are steps of a scale, see
        `quantizing.steps`, several to a byte, the first lowest.
      scale_axes: of the value, from the end, that the scales run over; none: one for
        all.
      scales: offset of the scales, float32; None where there are none.
    """

    formula: Formula
    offset: int
    order: tuple[int, ...]
    bytes: int
    encoding: str = "float32"
    scale_axes: tuple[int, ...] = ()
    scales: int | None = None

    def write(self, put: Callable[[int, np.ndarray], None], value: np.ndarray) -> None:
        """Writes the weight.

        Args:
          put: (offset, array) -> writes it in C order, little-endian.
          value: float32.

        Raises:
          ArtifactError: it does not fit its place.
          CheckpointError: it is beyond float16.
        """
        if sorted(self.order) != list(range(value.ndim)):
            raise self._misfit(value)
        stored = self._stored(put, value)
        if stored.nbytes != self.bytes:
            raise self._misfit(value)
        put(self.offset, stored)

    def _stored(self, put: Callable, value: np.ndarray) -> np.ndarray:
        if self.encoding in FLOATS:
            with np.errstate(over="ignore"):  # refused by name
                stored = value.transpose(self.order).astype(FLOATS[self.encoding])
            if not np.isfinite(stored).all():
                names = list(self.formula.sources)
                raise CheckpointError(
                    f"the state's {names} make a weight beyond {self.encoding}"
                )
            return stored
        bits = BITS[self.encoding]
        steps, scales = quantizing.steps(value, self.scale_axes, bits)
        put(self.scales, scales.astype(np.float32))
        return quantizing.packed(steps.transpose(self.order), bits)

    def _misfit(self, value: np.ndarray) -> ArtifactError:
        return ArtifactError(
            f"{list(self.formula.sources)} make a weight {list(value.shape)} "
            f"{value.dtype}; the manifest has {self.bytes} bytes {self.encoding}, axes "
            f"in the order {list(self.order)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON."""
        place = {"offset": self.offset, "order": list(self.order), "bytes": self.bytes}
        content = {**self.formula.to_json(), **place}
        if self.encoding != "float32":
            content["encoding"] = self.encoding
        if self.scales is not None:
            own = {"scale_axes": list(self.scale_axes), "scales": self.scales}
            content |= own
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Weight:
        """Reads what `to_json` gives; raises KeyError or TypeError on anything else."""
        encoding, scales = content.get("encoding", "float32"), content.get("scales")
        if encoding not in ENCODINGS or (encoding in BITS) != (scales is not None):
            raise KeyError(encoding)
        return cls(
            Formula.from_json(content),
            content["offset"],
            tuple(content["order"]),
            content["bytes"],
            encoding,
            tuple(content.get("scale_axes", ())),
            scales,
        )
