"""Instructions are told apart by their words: words as an assembler makes them."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_odl.desk.arm.decoding import FIELDS, decode

NOTHING = (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        (0x8B020020, "add x0, x1, x2", NOTHING),
        (0x14000002, "b .+8", NOTHING),
        (0x4E22CC20, "fmla v0.4s, v1.4s, v2.4s", (1, 0, 0, 0, 0)),
        (0x4F821020, "fmla v0.4s, v1.4s, v2.s[0]", (1, 0, 0, 0, 0)),
        (0x1F020C20, "fmadd s0, s1, s2, s3", (1, 0, 0, 0, 0)),
        (0x4E22D420, "fadd v0.4s, v1.4s, v2.4s", (0, 1, 0, 0, 0)),
        (0x3DC00020, "ldr q0, [x1]", (0, 0, 16, 0, 1)),
        (0x3D800020, "str q0, [x1]", (0, 0, 0, 16, 1)),
        (0xAD400420, "ldp q0, q1, [x1]", (0, 0, 32, 0, 2)),
        (0xA9000820, "stp x0, x2, [x1]", (0, 0, 0, 16, 1)),
        (0xF9400020, "ldr x0, [x1]", (0, 0, 8, 0, 1)),
        (0x39000020, "strb w0, [x1]", (0, 0, 0, 1, 1)),
        (0x4C402820, "ld1 {v0.4s - v3.4s}, [x1]", (0, 0, 64, 0, 4)),
        (0x4D40C820, "ld1r {v0.4s}, [x1]", (0, 0, 4, 0, 1)),
        (0xF9800020, "prfm pldl1keep, [x1]", (0, 0, 0, 0, 1)),
        (0x58000040, "ldr x0, .+8", (0, 0, 8, 0, 1)),
    ],
)
def test_a_word_is_what_the_assembler_meant(word, text, expected):
    found = decode(np.array([word], np.uint32))[0]
    assert dict(zip(FIELDS, found, strict=True)) == dict(
        zip(FIELDS, expected, strict=True)
    )
