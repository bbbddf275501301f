"""Seeded damage of a file's bytes."""

from __future__ import annotations

import numpy as np

KINDS = ("bit", "bytes", "cut", "zeros", "longer", "shorter", "moved", "text")
WORDS = (b"0", b"-1", b"1e999", b"null", b"[]", b'"', b"{", b"99999999999", b"NaN")


def damaged(content: bytes, seed: int) -> bytes:
    """Returns the content with one piece of damage, its kind and place by the seed."""
    rng = np.random.default_rng(seed)
    kind, found = KINDS[seed % len(KINDS)], bytearray(content)
    # Half of all places are near an end, where headers are.
    size = len(content)
    near = min(size, 2048)
    at = int(rng.integers(near if rng.random() < 0.5 else size))
    length = int(rng.integers(1, 64))
    if kind == "bit":
        found[at] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        found[at : at + length] = rng.bytes(len(found[at : at + length]))
    elif kind == "cut":
        del found[at:]
    elif kind == "zeros":
        found[at : at + length] = bytes(len(found[at : at + length]))
    elif kind == "longer":
        found[at:at] = rng.bytes(length)
    elif kind == "shorter":
        del found[at : at + length]
    elif kind == "moved":
        other = int(rng.integers(size))
        found[at : at + length] = content[other : other + length]
    else:
        word = WORDS[int(rng.integers(len(WORDS)))]
        found[at : at + len(word)] = word
    return bytes(found)
