"""Independent copies of a model: in float32, and in float64 as the parity reference."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.reading import rebuild
from tflite_odl.reading.applications import StochasticDepth

_CONVOLUTIONS = (tf_keras.layers.Conv1D, tf_keras.layers.Conv2D)
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def float32_copy(model: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy computing in float32: same names and weights, nothing shared."""
    return _copy(model, "float32")


def float64_copy(model: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy computing in float64: same names and weights, nothing shared.

    Batch norms move their variance as the float32 model's fused kernel does, by the
    unbiased variance, though the float64 kernel is not the fused one.
    """
    return _copy(model, "float64")


def _copy(model: tf_keras.Model, dtype: str) -> tf_keras.Model:
    return rebuild.rebuild(
        model,
        lambda layer, _: copy_layer(layer, dtype),
        lambda tensor: copy_input(tensor, dtype),
    )


def copy_layer(layer: tf_keras.layers.Layer, dtype: str = "") -> tf_keras.layers.Layer:
    """Returns a new layer of the same configuration, in another float dtype if given.

    Its weights are not there yet: they come with the first call.
    """
    copy = _copied(layer, dtype)
    if regularizer := getattr(layer, "activity_regularizer", None):
        copy.activity_regularizer = regularizer  # many a get_config forgets it
    return copy


def _copied(layer: tf_keras.layers.Layer, dtype: str) -> tf_keras.layers.Layer:
    config = layer.get_config()
    config = _with_dtype(config, dtype) if dtype else config
    if type(layer).__name__ == "StochasticDepth":  # tf_keras' own draws by itself
        return StochasticDepth.from_config(config)
    if dtype and _is_strided_pointwise(layer):
        copy = type(layer).from_config(config)
        copy.convolution_op = functools.partial(_convolve_pointwise, copy.strides)
        return copy
    if not isinstance(layer, tf_keras.layers.BatchNormalization):
        return type(layer).from_config(config)
    unbiased = dtype == "float64" and layer.fused
    copy = (BatchNormalization if unbiased else type(layer)).from_config(config)
    if layer.fused is False:  # get_config forgets it
        copy.fused = False
    return copy


def _is_strided_pointwise(layer: tf_keras.layers.Layer) -> bool:
    plain = type(layer) in _CONVOLUTIONS and layer.data_format == "channels_last"
    return plain and {*layer.kernel_size} == {1} != {*layer.strides}


def _convolve_pointwise(strides, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns the convolution by a kernel of size 1 of every `strides`-th place.

    It is what Keras' own call returns, whose filter gradient writes beyond its buffer:
    float32, an odd number of rows, an even image, TensorFlow 2.21 with oneDNN.
    """
    places = (slice(None, None, stride) for stride in strides)
    return tf.nn.convolution(inputs[(slice(None), *places)], kernel)


def copy_input(tensor: Any, dtype: str = "") -> Any:
    """Returns a new symbolic input of the same name, shape and kind of dtype."""
    name = tensor.name.split(":")[0]
    kind = tensor.dtype.name
    kind = dtype if dtype and kind in _FLOATS else kind
    return tf_keras.Input(
        tensor.shape[1:], batch_size=tensor.shape[0], dtype=kind, name=name
    )


def _with_dtype(config: Any, dtype: str) -> Any:
    """Returns a configuration with each float dtype in it, at any depth, replaced."""
    if isinstance(config, dict):
        return {
            key: dtype
            if key == "dtype" and _is_float(value)
            else _with_dtype(value, dtype)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        # Not type(config)(...): a layer's lists are TensorFlow's tracked ones.
        found = [_with_dtype(value, dtype) for value in config]
        return tuple(found) if isinstance(config, tuple) else found
    return config


def _is_float(value: Any) -> bool:
    """Whether a configured dtype, a name or a serialized policy, is a float one."""
    name = value.get("config", {}).get("name") if isinstance(value, dict) else value
    return isinstance(name, str) and name.removeprefix("mixed_") in _FLOATS


class BatchNormalization(tf_keras.layers.BatchNormalization):
    """Batch norm of plain operations whose moving variance moves as the fused one's.

    With N values per channel the fused kernel (rank 4) moves by variance * N / (N - 1);
    the plain operations, all there is in float64, by the variance itself. It has the
    class name of the layer it stands for.
    """

    def call(self, inputs, training=None, mask=None):
        count = tf.size(inputs) // tf.size(self.moving_variance)
        unbiased = tf.maximum(count - 1, 1)  # as the kernel does for N = 1
        self._bessel = tf.cast(count, self.dtype) / tf.cast(unbiased, self.dtype)
        return super().call(inputs, training=training, mask=mask)

    def _assign_moving_average(self, variable, value, momentum, inputs_size):
        if variable is self.moving_variance:
            value = value * self._bessel
        return super()._assign_moving_average(variable, value, momentum, inputs_size)
