"""What backbones are made of: layers with stable names and seeded initial weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.initial import glorot, he, he_depthwise

MOMENTUM = 0.9  # of the moving statistics: streams on a device are short


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Makes and applies layers; x is a symbolic tensor [B, H, W, C] or [B, T, C]."""

    seed: int = 0

    def conv(
        self, x: Any, filters: int, kernel: Any, name: str, strides: Any = 1, **options
    ) -> Any:
        """2-D convolution, SAME, without bias."""
        options = {"padding": "same", "use_bias": False} | options
        return tf_keras.layers.Conv2D(
            filters,
            kernel,
            strides,
            name=name,
            kernel_initializer=he(self.seed, name),
            **options,
        )(x)

    def conv1d(
        self, x: Any, filters: int, kernel: int, name: str, strides: int = 1
    ) -> Any:
        """1-D convolution, SAME, without bias."""
        return tf_keras.layers.Conv1D(
            filters,
            kernel,
            strides,
            padding="same",
            use_bias=False,
            name=name,
            kernel_initializer=he(self.seed, name),
        )(x)

    def depthwise(self, x: Any, name: str, kernel: int = 3, strides: int = 1) -> Any:
        """Depthwise convolution, SAME, without bias."""
        return tf_keras.layers.DepthwiseConv2D(
            kernel,
            strides,
            padding="same",
            use_bias=False,
            name=name,
            depthwise_initializer=he_depthwise(self.seed, name, kernel**2),
        )(x)

    def norm(self, x: Any, name: str, gamma: float = 1.0) -> Any:
        """Batch normalization, with the initial scale `gamma`."""
        return tf_keras.layers.BatchNormalization(
            momentum=MOMENTUM,
            gamma_initializer=tf_keras.initializers.Constant(gamma),
            name=name,
        )(x)

    def norm_relu(self, x: Any, name: str, limit: float | None = None) -> Any:
        """Batch normalization and relu: `name`_bn, `name`_relu."""
        x = self.norm(x, f"{name}_bn")
        return tf_keras.layers.ReLU(limit, name=f"{name}_relu")(x)

    def dense(self, x: Any, units: int, name: str, activation: str = "linear") -> Any:
        """Fully connected layer with bias."""
        initializer = glorot if activation == "linear" else he
        return tf_keras.layers.Dense(
            units,
            activation,
            name=name,
            kernel_initializer=initializer(self.seed, name),
        )(x)

    def logits(self, x: Any, num_classes: int) -> Any:
        """Global average pooling and the linear classifier of a 2-D net."""
        x = tf_keras.layers.GlobalAveragePooling2D(name="pool")(x)
        return self.dense(x, num_classes, "logits")


def image(input_shape: tuple[int, ...], smallest: int) -> Any:
    """Returns the symbolic input [H, W, C] float32 of a backbone.

    Raises:
      ModelError: not three sizes, or H or W below `smallest`.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise ModelError(
            f"input_shape is {list(input_shape)}, needs [H, W, C] with H and W of "
            f"{smallest} or more"
        )
    return tf_keras.Input(input_shape, name="x")


def scaled(channels: float, divisor: int = 8) -> int:
    """Returns a channel count rounded to the divisor, by at most 10 % downwards."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
