"""Batch statistics of one value: nothing is learned from them, and that is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tf_keras

from tests.methods.test_penalties import LOSS, step
from tflite_odl.errors import ModelError
from tflite_odl.methods import Finetune

CLASSES = 3


def dense() -> tf_keras.Model:
    """A batch norm behind a Dense."""
    kl = tf_keras.layers
    tf_keras.utils.set_random_seed(2)
    layers = [kl.Input((4,)), kl.Dense(5, name="hidden"), kl.BatchNormalization()]
    return tf_keras.Sequential([*layers, kl.ReLU(), kl.Dense(CLASSES)])


def image() -> tf_keras.Model:
    kl = tf_keras.layers
    layers = [kl.Input((4, 4, 1)), kl.Conv2D(3, 2), kl.BatchNormalization(name="norm")]
    layers += [kl.GlobalAveragePooling2D(), kl.Dense(CLASSES)]
    return tf_keras.Sequential(layers)


def batch(rows: int = 4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return x, np.arange(rows, dtype=np.int32) % CLASSES


def test_one_row_is_refused_where_a_batch_norm_sees_one_value():
    message = "'batch_normalization.*one value.*--batch_size.*--batch_norm=frozen"
    with pytest.raises(ModelError, match=message):
        Finetune(dense(), **LOSS).entries(1, 1)
    Finetune(dense(), **LOSS).entries(2, 1)
    Finetune(dense(), batch_norm="frozen", **LOSS).entries(1, 1)


def test_one_row_of_an_image_is_warned_of():
    with pytest.warns(UserWarning, match="'norm'.*single row.*--batch_norm=frozen"):
        Finetune(image(), **LOSS).entries(1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Finetune(image(), batch_norm="frozen", **LOSS).entries(1, 1)
        Finetune(image(), **LOSS).entries(2, 1)


@pytest.mark.parametrize("left", ["padding", "bad", "unlabelled"])
def test_a_step_with_one_row_left_is_rejected(left):
    """Of a row without label the statistics are taken, too, so there are two values."""
    x, y = batch()
    count = 1 if left == "padding" else 4
    if left == "bad":
        y[1:] = CLASSES
    if left == "unlabelled":
        y[1:] = -1
    outputs, _ = step(Finetune(dense(), **LOSS), x, y, count)
    assert outputs["accepted"][0] == (left == "unlabelled")
    assert outputs["step"][0] == (left == "unlabelled")
