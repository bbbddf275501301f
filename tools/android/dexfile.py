"""Which classes a dex file defines, and which it refers to.

The format is the one of https://source.android.com/docs/core/runtime/dex-format: a
header of offsets, strings, types as indices of strings, class definitions.
"""

from __future__ import annotations

import dataclasses
import struct

_PRIMITIVES = frozenset("VZBSCIJFD")
_STRINGS, _TYPES, _CLASSES = 0x38, 0x40, 0x60
_CLASS_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names of classes, as `org/tensorflow/lite/Interpreter`.

    Attributes:
      defined: in the file.
      named: by any type that the file uses, its own included.
    """

    defined: frozenset[str]
    named: frozenset[str]


def read(content: bytes) -> Classes:
    """Returns the classes of a dex file.

    Raises:
      ValueError: it is none.
    """
    if content[:4] != b"dex\n":
        raise ValueError(f"no dex file: it begins with {content[:8]!r}")
    strings = _table(content, _STRINGS, 4)
    types = [_text(content, strings[index]) for index in _table(content, _TYPES, 4)]
    defined = _table(content, _CLASSES, _CLASS_BYTES)
    named = (name.lstrip("[") for name in types)
    return Classes(
        frozenset(types[index][1:-1] for index in defined),
        frozenset(name[1:-1] for name in named if name not in _PRIMITIVES),
    )


def _table(content: bytes, place: int, stride: int) -> list[int]:
    """Returns the first number of each entry of a table of the header."""
    size, start = struct.unpack_from("<II", content, place)
    return [
        struct.unpack_from("<I", content, start + stride * n)[0] for n in range(size)
    ]


def _text(content: bytes, start: int) -> str:
    """Returns a string; names of types are ASCII here."""
    while content[start] & 0x80:  # its length, seven bits a byte
        start += 1
    return content[start + 1 : content.index(b"\0", start + 1)].decode()
