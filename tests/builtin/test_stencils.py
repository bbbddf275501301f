"""Sums of shifted entries against NumPy loops."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tflite_odl.builtin.stencils import sum_at
from tflite_odl.builtin.window import Window

X = np.random.default_rng(0).normal(size=(2, 5, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("size", [(3, 4), (5, 8), (2, 3)])
@pytest.mark.parametrize(
    "offsets", [[(0, 0)], [(-1, 2)], [(0, 0), (1, -2)], [(-2, 0), (3, 4), (9, 0)]]
)
def test_sum_at(offsets, strides, size):
    expected = np.zeros((2, *size, 3), np.float32)
    for (i, j), r, s in itertools.product(offsets, range(size[0]), range(size[1])):
        row, column = r * strides[0] + i, s * strides[1] + j
        if 0 <= row < 5 and 0 <= column < 8:
            expected[:, r, s] += X[:, row, column]
    found = sum_at(tf.constant(X), offsets, strides, size)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("count", "before"), [(2, 0), (3, 0), (3, 1), (5, 2), (1, 0)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [15, 16])
def test_scatter_columns(count, before, stride, size):
    window = Window((4, size), (1, count), (1, stride), ((0, 0), (before, 0)))
    shape = (2, 4, window.out[1], count * 3)
    z = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    expected = np.zeros((2, 4, size, 3), np.float32)
    for n, j in itertools.product(range(shape[2]), range(count)):
        if 0 <= n * stride + j - before < size:
            part = z[:, :, n, j * 3 : j * 3 + 3]
            expected[:, :, n * stride + j - before] += part
    found = window.scatter_columns(tf.constant(z))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
