"""Along which axis of a file's tensor the scales of a weight run."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tflite_odl.errors import ExportError
from tflite_odl.exporter.encoded import channel_axis
from tflite_odl.exporter.places import order_of

LAST, DEPTHWISE = (-1,), (-2, -1)
# Shape in Keras, axes of the channels, order and shape in the file, the axis there.
KERNELS = {
    "conv2d": ((3, 3, 4, 8), LAST, (3, 0, 1, 2), (8, 3, 3, 4), 0),
    "1x1": ((1, 1, 4, 8), LAST, (3, 0, 1, 2), (8, 1, 1, 4), 0),
    "1x1 of as many": ((1, 1, 4, 4), LAST, (3, 0, 1, 2), (4, 1, 1, 4), 0),
    "1x1 of one": ((1, 1, 4, 1), LAST, (3, 0, 1, 2), (1, 1, 1, 4), 0),
    "1x1 from one": ((1, 1, 1, 4), LAST, (3, 0, 1, 2), (4, 1, 1, 1), 0),
    "1x1 as a dense one": ((1, 1, 4, 4), LAST, (3, 2, 0, 1), (4, 4), 0),
    "conv1d": ((5, 4, 4), LAST, (2, 0, 1), (4, 1, 5, 4), 0),
    "depthwise": ((3, 3, 4, 1), DEPTHWISE, (0, 1, 2, 3), (1, 3, 3, 4), 3),
    "depthwise 1x1": ((1, 1, 4, 1), DEPTHWISE, (0, 1, 2, 3), (1, 1, 1, 4), 3),
    "depthwise of two": ((3, 3, 4, 2), DEPTHWISE, (0, 1, 2, 3), (1, 3, 3, 8), 3),
    "dense": ((4, 4), LAST, (1, 0), (4, 4), 0),
}


@pytest.mark.parametrize("name", KERNELS)
def test_channels_are_found_in_whatever_order_the_bytes_are_read(name):
    """Scales by the file's axis make what scales by the weight's axes do."""
    shape, axes, order, stored, expected = KERNELS[name]
    value = np.random.default_rng(0).normal(size=shape)
    scales = np.arange(1.0, 1 + math.prod(shape[axis] for axis in axes))
    scaled = value * scales.reshape([shape[axis] for axis in axes])
    content = value.transpose(order).reshape(stored)
    assert content.ravel() == pytest.approx(
        value.transpose(order_of(value, content.ravel())).ravel(), abs=0
    )
    for other in itertools.permutations(range(value.ndim)):
        if (value.transpose(other).ravel() != content.ravel()).any():
            continue
        axis = channel_axis(shape, other, axes, stored)
        along = scales.reshape([-1] + [1] * (len(stored) - axis - 1))
        np.testing.assert_array_equal(
            content * along, scaled.transpose(order).reshape(stored)
        )
        assert axis == expected


def test_channels_that_lie_along_no_axis_are_refused():
    with pytest.raises(ExportError, match=r"no axis of \[4, 6\] has 8 channels"):
        channel_axis((3, 8), (0, 1), LAST, (4, 6))
