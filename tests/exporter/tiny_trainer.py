"""A tiny training module, converted: what the flatbuffer tests look at."""

import functools
import os
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf

LAYERS = ("dense", "dense_1")
_SAVE_OPTIONS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)


class Trainer(tf.Module):
    """A linear softmax classifier with momentum, [4, 8] float32 -> [4, 3]."""

    def __init__(self):
        super().__init__()
        start = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        self.kernel = tf.Variable(start, name="kernel")
        self.slot = tf.Variable(tf.zeros([8, 3]), name="slot")
        self.step = tf.Variable([0], name="step")

    @tf.function(
        input_signature=[
            tf.TensorSpec([4, 8], tf.float32, name="x"),
            tf.TensorSpec([4], tf.int32, name="y"),
        ]
    )
    def train(self, x, y):
        kernel, slot = self.kernel.read_value(), self.slot.read_value()
        with tf.name_scope("forward/dense/"):
            probabilities = tf.nn.softmax(tf.matmul(x, kernel) + 0.5)
        with tf.name_scope("backward/dense/"):
            error = probabilities - tf.one_hot(y, 3)
            slot = 0.9 * slot + tf.matmul(x, error, transpose_a=True)
        finite = tf.reduce_sum(tf.abs(slot)) < 1e6
        kernel = tf.cond(finite, lambda: kernel - 0.1 * slot, lambda: tf.tanh(kernel))
        self.slot.assign(slot)
        self.kernel.assign(kernel)
        self.step.assign(self.step.read_value() + 1)
        loss = tf.reshape(tf.reduce_mean(error * error), [1])
        return {"loss": loss, "step": tf.reshape(self.step.read_value(), [1])}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int32, name="unused")])
    def save(self, unused):
        return {
            name: tf.reshape(variable.read_value(), variable.shape)
            for name, variable in self._state().items()
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([8, 3], tf.float32, name="kernel"),
            tf.TensorSpec([8, 3], tf.float32, name="slot"),
            tf.TensorSpec([1], tf.int32, name="step"),
        ]
    )
    def restore(self, kernel, slot, step):
        self.kernel.assign(kernel)
        self.slot.assign(slot)
        self.step.assign(step)
        return {"step": tf.reshape(self.step.read_value(), [1])}

    def _state(self):
        return {"kernel": self.kernel, "slot": self.slot, "step": self.step}


def convert(module, flex=False, **signatures):
    """Returns the .tflite bytes of a module's tf.functions, by signature."""
    concrete = {k: f.get_concrete_function() for k, f in signatures.items()}
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=concrete, options=_SAVE_OPTIONS)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        if flex:
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS,
                tf.lite.OpsSet.SELECT_TF_OPS,
            ]
        return converter.convert()


def convert_one(function, *specs, flex=False):
    """Returns the .tflite bytes of one function, as signature `train`."""
    module = tf.Module()
    module.train = tf.function(function, input_signature=specs)
    return convert(module, flex=flex, train=module.train)


@functools.cache
def model() -> bytes:
    """The trainer as it leaves the converter."""
    module = Trainer()
    return convert(module, train=module.train, save=module.save, restore=module.restore)
