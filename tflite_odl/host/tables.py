"""Reads the tables of a flatbuffer, every offset checked before it is followed.

A flatbuffer is little-endian. A position holds the offset of its table, counted from
there; a table begins with the signed offset back to its vtable, which holds its own
size, the table's size, and for each field the place inside the table, 0 if it is left
out. A vector is its length and its elements, a text a vector of bytes. Pure Python on
purpose: a phone repeats it line by line.
"""

from __future__ import annotations

import dataclasses

from tflite_odl.errors import ArtifactError

OFFSET_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Tables:
    """A flatbuffer file; every reading method raises ArtifactError beyond its ends."""

    data: bytes

    def number(self, at: int, size: int, signed: bool = False) -> int:
        """Returns the integer of `size` bytes at a position."""
        self._check(at, size)
        return int.from_bytes(self.data[at : at + size], "little", signed=signed)

    def follow(self, at: int) -> int:
        """Returns the position that the offset at a position leads to."""
        place = at + self.number(at, OFFSET_BYTES)
        self._check(place, OFFSET_BYTES)
        return place

    def field(self, table: int, index: int) -> int | None:
        """Returns the position of a table's field, None if it is left out."""
        vtable = table - self.number(table, OFFSET_BYTES, signed=True)
        slot = 4 + 2 * index
        if slot + 2 > self.number(vtable, 2):
            return None
        inside = self.number(vtable + slot, 2)
        return table + inside if inside else None

    def value(self, table: int, index: int, size: int) -> int:
        """Returns a field's unsigned integer of `size` bytes, 0 if it is left out."""
        at = self.field(table, index)
        return 0 if at is None else self.number(at, size)

    def vector(self, table: int, index: int, size: int) -> tuple[int, int]:
        """Returns (position of the first element, length) of a field's vector.

        Args:
          table: the table's position.
          index: of the field; a vector that is left out is empty.
          size: bytes of an element.
        """
        at = self.field(table, index)
        if at is None:
            return 0, 0
        start = self.follow(at)
        length = self.number(start, OFFSET_BYTES)
        self._check(start + OFFSET_BYTES, length * size)
        return start + OFFSET_BYTES, length

    def tables(self, table: int, index: int) -> list[int]:
        """Returns the positions of the tables in a field's vector."""
        start, length = self.vector(table, index, OFFSET_BYTES)
        return [self.follow(start + OFFSET_BYTES * n) for n in range(length)]

    def element(self, table: int, index: int, number: int) -> int:
        """Returns the position of one table in a field's vector, by its number."""
        start, length = self.vector(table, index, OFFSET_BYTES)
        if number >= length:
            raise ArtifactError(f"cut or damaged: no table {number}, of {length}")
        return self.follow(start + OFFSET_BYTES * number)

    def integers(self, table: int, index: int) -> tuple[int, ...]:
        """Returns a field's vector of signed integers of 4 bytes."""
        start, length = self.vector(table, index, 4)
        return tuple(self.number(start + 4 * n, 4, signed=True) for n in range(length))

    def text(self, table: int, index: int) -> bytes:
        """Returns the bytes of a field's text."""
        start, length = self.vector(table, index, 1)
        return self.data[start : start + length]

    def _check(self, at: int, size: int) -> None:
        if at < 0 or at + size > len(self.data):
            raise ArtifactError(
                f"cut or damaged: {size} bytes are needed at {at}, there are "
                f"{len(self.data)}"
            )
