"""A toy artifact with every dtype, a private buffer and a signature of its own.

A linear softmax classifier, [4, 3] float32 -> 2 classes; it needs no Keras, so that
the host is tested apart from what the exporter makes.
"""

from __future__ import annotations

import functools
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from tflite_odl import contract
from tflite_odl.contract import Manifest, Signature, TensorSpec
from tflite_odl.exporter import artifact

BATCH, INFER_BATCH = 4, 3
_X = TensorSpec("x", "float32", (BATCH, 3), "feature")
_Y = TensorSpec("y", "int32", (BATCH,), "label", fill=-1)
_COUNT = TensorSpec("count", "int32", (1,), "count")
_UNUSED = TensorSpec("unused", "float32", (1,))
_PHOTO = TensorSpec("photo", "uint8", (5,))
_STEP = TensorSpec("step", "int32", (1,), "counter")
_RATE = TensorSpec(
    "learning_rate", "float32", (1,), "hyperparameter", low=0.0, high=10.0
)
STATE = (
    TensorSpec("kernel", "float32", (3, 2), "weight"),
    _STEP,
    _RATE,
    TensorSpec("photos", "uint8", (5,), "buffer"),
    TensorSpec("tiny", "int8", (2,), "weight"),
    TensorSpec("seen", "bool", (2,), "random"),
)


def _one(*names: str, dtype: str = "float32", total: str = ""):
    return tuple(TensorSpec(name, dtype, (1,), total=total) for name in names)


INTERFACE = {
    "train": ((_X, _Y, _COUNT), (*_one("loss"), *_one("step", dtype="int32"))),
    "infer": (
        (TensorSpec("x", "float32", (INFER_BATCH, 3), "feature"),),
        (TensorSpec("probabilities", "float32", (INFER_BATCH, 2)),),
    ),
    "evaluate": (
        (_X, _Y, _COUNT),
        (
            *_one("loss", total="mean"),
            *_one("correct", "count", dtype="int32", total="sum"),
        ),
    ),
    "configure": ((_RATE,), (_RATE,)),
    "save": ((_UNUSED,), STATE),
    "restore": (STATE, _one("step", dtype="int32")),
    "remember": ((_PHOTO,), (TensorSpec("stored", "uint8", (5,)),)),
}


class Toy(tf.Module):
    """The signatures as functions of tensors by name."""

    def __init__(self) -> None:
        super().__init__()
        start = {"learning_rate": 0.5, "kernel": np.arange(6).reshape(3, 2) / 10}
        self.state = {
            spec.name: tf.Variable(
                np.full(spec.shape, start.get(spec.name, 0)), dtype=spec.dtype
            )
            for spec in STATE
        }

    def _logits(self, x):
        return tf.matmul(x, self.state["kernel"].read_value()) + 0.25

    def _rows(self, y, count):
        real = tf.cast(tf.range(BATCH) < count, tf.float32)
        return real, tf.one_hot(y, 2) * real[:, None]

    def _loss(self, x, y, count):
        real, target = self._rows(y, count)
        each = -tf.reduce_sum(target * tf.nn.log_softmax(self._logits(x)), 1)
        return tf.reshape(tf.reduce_sum(each) / tf.reduce_sum(real), [1])

    def train(self, x, y, count):
        real, target = self._rows(y, count)
        error = tf.nn.softmax(self._logits(x)) * real[:, None] - target
        loss, kernel = self._loss(x, y, count), self.state["kernel"]
        step = tf.matmul(x, error, transpose_a=True)
        kernel.assign(kernel.read_value() - self.state["learning_rate"] * step)
        self.state["step"].assign(self.state["step"].read_value() + 1)
        return {"loss": loss, "step": tf.reshape(self.state["step"].read_value(), [1])}

    def infer(self, x):
        return {"probabilities": tf.nn.softmax(self._logits(x))}

    def evaluate(self, x, y, count):
        guess = tf.argmax(self._logits(x), 1, tf.int32)
        real = tf.cast(self._rows(y, count)[0], tf.int32)
        correct = tf.reduce_sum(tf.cast(guess == y, tf.int32) * real)
        counts = {"correct": correct, "count": tf.reduce_sum(real)}
        counts = {name: tf.reshape(value, [1]) for name, value in counts.items()}
        return {"loss": self._loss(x, y, count), **counts}

    def configure(self, learning_rate):
        variable = self.state["learning_rate"]
        kept = learning_rate != learning_rate
        value = tf.where(kept, variable.read_value(), learning_rate)
        variable.assign(value)
        return {"learning_rate": value}

    def save(self, unused):
        return {name: v.read_value() for name, v in self.state.items()}

    def restore(self, **state):
        for name, value in state.items():
            self.state[name].assign(value)
        return {"step": tf.reshape(self.state["step"].read_value(), [1])}

    def remember(self, photo):
        self.state["photos"].assign(photo)
        return {"stored": tf.reshape(self.state["photos"].read_value(), [5])}


def _traced(function, specs):
    def call(*tensors):
        return function(**{s.name: t for s, t in zip(specs, tensors, strict=True)})

    wanted = [tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in specs]
    made = tf.function(call, input_signature=wanted, autograph=False)
    return made.get_concrete_function()


@functools.cache
def model() -> bytes:
    """The toy as the converter leaves it."""
    module = Toy()
    signatures = {
        name: _traced(getattr(module, name), inputs)
        for name, (inputs, _) in INTERFACE.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        return converter.convert()


def manifest() -> Manifest:
    return Manifest(
        artifact.artifact_id(model()),
        {"name": "toy", "config": {}},
        {name: Signature(name, *specs) for name, specs in INTERFACE.items()},
        STATE,
        ops={name: {} for name in contract.SIGNATURES},
    )


def write(folder: pathlib.Path, goldens: artifact.Goldens | None = None):
    """Writes the toy as an artifact folder and returns it."""
    return artifact.write(folder, model(), manifest(), goldens)
