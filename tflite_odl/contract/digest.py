"""The digest of named tensors and the facts about them, over defined bytes.

Checkpoints and packed streams carry it. BUILD.md gives it byte by byte, `conformance/`
has vectors.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

import numpy as np

FIELD = "sha256"


def digest(facts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the sha256, in hexadecimal, of the facts but "sha256", and the arrays.

    Numbers are little-endian and unsigned, a text is its length in bytes (4 bytes) and
    its UTF-8. Hashed are:

        number of facts (4); for each, sorted by name:   name, value (texts)
        number of arrays (4); for each, sorted by name:  name, dtype (texts),
            rank (4), sizes (8 each), number of data bytes (8), data in C order

    Args:
      facts: {name: text}.
      arrays: {name: array}; read in place, so they may be memory-mapped.
    """
    total = hashlib.sha256()
    facts = {name: value for name, value in facts.items() if name != FIELD}
    total.update(struct.pack("<I", len(facts)))
    for name in sorted(facts):
        total.update(_text(name) + _text(facts[name]))
    total.update(struct.pack("<I", len(arrays)))
    for name in sorted(arrays):
        data = _little_endian(arrays[name])
        total.update(_text(name) + _text(data.dtype.name))
        total.update(struct.pack(f"<I{data.ndim}Q", data.ndim, *data.shape))
        total.update(struct.pack("<Q", data.nbytes))
        total.update(data.reshape(-1).view(np.uint8))
    return total.hexdigest()


def _text(value: str) -> bytes:
    content = value.encode()
    return struct.pack("<I", len(content)) + content


def _little_endian(value: np.ndarray) -> np.ndarray:
    order = value.dtype.newbyteorder("<")
    return np.ascontiguousarray(value.astype(order, copy=False))
