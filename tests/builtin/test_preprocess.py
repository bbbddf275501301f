"""What no feature of a sound row is beyond."""

import numpy as np
import pytest

from tflite_odl.builtin.preprocess import BEYOND, Preprocessing


def test_the_limit_is_of_preprocessed_rows():
    x = np.array([[0.5, -4.0], [1.0, 2.0]], np.float32)
    assert Preprocessing().limit_of(x) == BEYOND * 4
    # Channel by channel: 0.5 * 10 - 1 and 1 * 10 - 1, -4 + 0.25 and 2 + 0.25.
    scaled = Preprocessing("float32", (10.0, 1.0), (-1.0, 0.25))
    assert scaled.limit_of(x) == pytest.approx(BEYOND * 9)


@pytest.mark.parametrize(
    "x",
    [
        np.full((2, 3), 255, np.uint8),
        np.zeros((2, 3), np.float32),
        np.zeros((0, 3), np.float32),
        np.array([[np.inf]], np.float32),
        np.array([[np.nan]], np.float32),
    ],
    ids=["bytes", "zeros", "none", "infinite", "nan"],
)
def test_rows_that_say_nothing_give_none(x):
    assert Preprocessing().limit_of(x) is None
