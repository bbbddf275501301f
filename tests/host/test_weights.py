"""Weights in fewer bits: packed, refused where they do not fit."""

import numpy as np
import pytest

from tflite_odl import quantizing
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.folding import Formula
from tflite_odl.host.weights import BITS, Weight

FORMULA = Formula("kernel", "k", None, (-1,), 3)


@pytest.mark.parametrize("bits", BITS.values())
def test_steps_come_back_from_their_bytes(bits):
    most = 2 ** (bits - 1) - 1
    values = np.random.default_rng(0).integers(-most, most + 1, (5, 7)).astype(np.int8)
    number = int.from_bytes(quantizing.packed(values, bits).tobytes(), "little")
    for at, value in enumerate(values.ravel().tolist()):
        assert number >> (bits * at) & (2**bits - 1) == value % 2**bits


@pytest.mark.parametrize("bits", BITS.values())
def test_a_weight_is_within_half_a_step_of_its_own_channel(bits):
    kernel = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    kernel *= np.float32([1, 100, 1e-3])
    steps, scales = quantizing.steps(kernel, (-1,), bits)
    off = np.abs(steps * scales - kernel)
    inside = np.abs(kernel) <= scales * (2 ** (bits - 1) - 0.5)
    # Half a step, and double's rounding of it.
    assert (off <= 0.5001 * scales)[inside].all() and inside.mean() > 0.8


def test_what_does_not_fit_is_refused():
    value = np.ones((2, 3), np.float32)
    put = lambda offset, array: None  # noqa: E731
    with pytest.raises(ArtifactError, match="the manifest has 7 bytes"):
        Weight(FORMULA, 0, (1, 0), 7).write(put, value)
    with pytest.raises(ArtifactError, match="axes in the order"):
        Weight(FORMULA, 0, (1, 1), 24).write(put, value)
    with pytest.raises(CheckpointError, match="beyond float16"):
        Weight(FORMULA, 0, (1, 0), 12, "float16").write(put, value * 1e5)
