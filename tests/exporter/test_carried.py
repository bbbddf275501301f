"""Artifacts with frozen layers that are carried as Keras' own forward pass."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as kl

from tests.nets import BATCH
from tflite_odl import Session
from tflite_odl.errors import ExportError
from tflite_odl.exporter.export import export
from tflite_odl.methods import Finetune


class Inverse(kl.Layer):
    def call(self, x):
        return tf.math.erfinv(tf.clip_by_value(x, -0.5, 0.5))


def test_an_op_without_a_builtin_kernel_is_refused_with_its_layer():
    stack = [kl.Input((4,)), Inverse(name="inverse"), kl.Dense(3)]
    with pytest.raises(ExportError, match="Erfinv.*layer inverse"):
        export(
            Finetune(tf_keras.Sequential(stack), loss="sparse_cross_entropy"),
            batch_size=4,
        )


def test_ids_out_of_the_table_are_bad_rows(build):
    """And a carried LSTM, masked by an Embedding, learns what Keras' head does."""
    with Session(build("finetune-carried")) as session:
        rng = np.random.default_rng(0)
        x = rng.integers(1, 9, (BATCH, 5)).astype(np.int32)
        y = np.arange(BATCH, dtype=np.int32) % 3
        x[0, 2], x[1, 0], x[2, 2:] = 9, -1, 0
        assert session.train(x=x, y=y)["rejected_rows"] == 2
        x[:2] = 1
        assert session.train(x=x, y=y)["rejected_rows"] == 0
