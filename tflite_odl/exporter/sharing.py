"""A flatbuffer writer that stores equal strings, vectors and tables once.

The tables of a training graph repeat: thousands of tensors have one of some hundred
shapes, every MUL has the same options. A flatbuffer refers to its tables by offset and
does not ask that two offsets differ, so equal parts can share one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np

# What the TFLite schema asks for (`force_align: 16` on Buffer.data).
BUFFER_ALIGNMENT_BYTES = 16


class SharingBuilder(flatbuffers.Builder):
    """A `flatbuffers.Builder` whose equal parts are written once.

    Two tables are equal when the same fields hold the same scalars and the same
    offsets; since children are written first, sharing works from the leaves up.
    uint8 vectors hold tensor data: those are aligned to 16 bytes and not compared
    (`flatbuffer.compact` has made them unique).
    """

    def __init__(self, initial_bytes: int = 1024) -> None:
        super().__init__(initial_bytes)
        self._written: dict[Any, int] = {}
        self._fields: list[tuple] = []

    def _once(self, key: Any, write: Callable[[], int]) -> int:
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def CreateString(self, s, encoding="utf-8", errors="strict") -> int:
        text = s.encode(encoding, errors) if isinstance(s, str) else bytes(s)
        write = super().CreateString
        return self._once(("string", text), lambda: write(text))

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.dtype == np.uint8:
            # Reserves room so that the base class finds itself aligned already.
            self.Prep(BUFFER_ALIGNMENT_BYTES, x.size)
            return super().CreateNumpyVector(x)
        write = super().CreateNumpyVector
        return self._once((x.dtype.str, x.tobytes()), lambda: write(x))

    def StartObject(self, numfields: int) -> None:
        super().StartObject(numfields)
        self._fields = []

    def PrependSlot(self, flags, o, x, d) -> None:
        if x is not None and x != d:
            self._fields.append((o, flags, x))
        super().PrependSlot(flags, o, x, d)

    def PrependUOffsetTRelativeSlot(self, o, x, d) -> None:
        if x != d:
            self._fields.append((o, "offset", x))
        super().PrependUOffsetTRelativeSlot(o, x, d)

    def EndObject(self) -> int:
        key = ("table", *self._fields)
        if key not in self._written:
            self._written[key] = super().EndObject()
            return self._written[key]
        # Takes back what was written since StartObject.
        self.assertNested()
        self.nested = False
        self.current_vtable = None
        self.head = len(self.Bytes) - self.objectEnd
        return self._written[key]
