"""What an A64 instruction does, by its word: vector arithmetic, loads, stores.

The encodings are those of the Arm Architecture Reference Manual for A-profile, chapter
C4; words are decoded many at a time.
"""

from __future__ import annotations

import numpy as np

FIELDS = ("fma", "vector", "read", "written", "accesses")


def decode(words: np.ndarray) -> np.ndarray:
    """Returns what each instruction does when it is executed once.

    Args:
      words: [N] uint32.

    Returns:
      [N, 5] float64, as `FIELDS`: fused multiply-adds; other vector and floating-point
      operations; bytes read; bytes written; accesses of up to 16 bytes.
    """
    words = words.astype(np.int64)
    found = np.zeros((len(words), len(FIELDS)))
    arithmetic = words & 0x0E000000 == 0x0E000000
    vectors = np.isin(words & 0xBFA0FC00, (0x0E20CC00, 0x0EA0CC00))
    by_element = words & 0xBF80B400 == 0x0F801000
    scalars = words & 0xFF000000 == 0x1F000000
    fma = arithmetic & (vectors | by_element | scalars)
    found[fma, 0] = 1
    found[arithmetic & ~fma, 1] = 1
    for place in np.flatnonzero(words & 0x0A000000 == 0x08000000):
        stores, size, accesses = _access(int(words[place]))
        found[place, 2:] = (0, size, accesses) if stores else (size, 0, accesses)
    return found


def _access(word: int) -> tuple[bool, int, int]:
    """Returns (whether it stores, bytes, accesses of up to 16 bytes)."""
    size, simd = word >> 30, word >> 26 & 1
    if word & 0x3A000000 == 0x28000000:  # a pair of registers
        each = 4 << size if simd else (8 if word >> 31 else 4)
        return not word >> 22 & 1, 2 * each, 2 if each == 16 else 1
    if word & 0x3B000000 == 0x18000000:  # a literal
        return False, 8, 1
    if word & 0x3A000000 == 0x38000000:
        return _single(word, size, simd)
    if word & 0xBF200000 in (0x0C000000, 0x0C200000) and not word >> 24 & 1:
        # Several vector registers, whole.
        registers = {0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2}.get(word >> 12 & 15, 1)
        whole = 16 if word >> 30 & 1 else 8
        return not word >> 22 & 1, registers * whole, registers
    if word & 0xBF000000 == 0x0D000000:  # one lane of vector registers
        return not word >> 22 & 1, _lane(word), 1
    return not word >> 22 & 1, 1 << size, 1


def _single(word: int, size: int, simd: int) -> tuple[bool, int, int]:
    code = word >> 22 & 3
    if simd:
        return not code & 1, 16 if code & 2 else 1 << size, 1
    if size == 3 and code == 2:
        return False, 0, 1  # a prefetch
    atomic = word >> 21 & 1 and not word >> 10 & 3
    return code == 0 and not atomic, 1 << size, 1


def _lane(word: int) -> int:
    code, each = word >> 13 & 7, 1 << (word >> 14 & 3)
    if code >> 1 == 2 and word >> 10 & 1:
        each = 8
    if code >> 1 == 3:
        each = 1 << (word >> 10 & 3)
    return each * (((code & 1) << 1 | word >> 21 & 1) + 1)
