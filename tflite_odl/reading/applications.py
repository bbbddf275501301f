"""Layers that keras.applications and tf_keras.applications keep to themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

# Copies of a model find the classes by these names.
_registered = tf_keras.saving.register_keras_serializable("tflite_odl")


@_registered
class LayerScale(tf_keras.layers.Layer):
    """y = x gamma over the last axis, as in ConvNeXt.

    Args:
      init_values: what gamma begins with.
      projection_dim: number of channels.
    """

    def __init__(self, init_values: float, projection_dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, input_shape: Sequence[int | None]) -> None:
        initial = tf_keras.initializers.Constant(self.init_values)
        self.gamma = self.add_weight("gamma", (self.projection_dim,), None, initial)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.gamma

    def get_config(self) -> dict[str, Any]:
        own = {"init_values": self.init_values, "projection_dim": self.projection_dim}
        return {**super().get_config(), **own}


@_registered
class CustomScaleLayer(tf_keras.layers.Layer):
    """y = a + b scale of two inputs, as in InceptionResNetV2.

    Args:
      scale: a number.
    """

    def __init__(self, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return inputs[0] + inputs[1] * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


@_registered
class StochasticDepth(tf_keras.layers.Dropout):
    """Dropout of whole rows, as in ConvNeXt.

    Args:
      drop_path_rate: of the rows that are dropped.
    """

    def __init__(self, drop_path_rate: float, **options: Any) -> None:
        super().__init__(drop_path_rate, **options)
        self.drop_path_rate = drop_path_rate

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.noise_shape = (None, *[1] * (len(input_shape) - 1))
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        dropout = ("rate", "noise_shape", "seed")
        found = {k: v for k, v in super().get_config().items() if k not in dropout}
        return {**found, "drop_path_rate": self.drop_path_rate}


CLASSES: Mapping[str, type[tf_keras.layers.Layer]] = {
    kind.__name__: kind for kind in (CustomScaleLayer, LayerScale, StochasticDepth)
}
