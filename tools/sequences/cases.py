"""What is measured: nets over time, by the bounds that they are held to.

Runs in every engine's environment: TensorFlow and tf_keras, of either version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

LEARNING_RATE = 0.05
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """One net at one batch size: all weights, SGD, float32, logits of 10 classes.

    Attributes:
      name: unique.
      about: on the page.
      shape: of one row, [T, C].
      build: layers -> (input, output), symbolic tensors of tf_keras.
      most: largest ratio of our step's time to that of TFLite with Flex.
      batch: rows of a step.
    """

    name: str
    about: str
    shape: tuple[int, int]
    build: Callable[[Any], tuple[Any, Any]]
    most: float
    batch: int = 16

    def model(self) -> Any:
        """Returns a fresh Keras model."""
        import tf_keras

        tf_keras.utils.set_random_seed(0)
        return tf_keras.Model(*self.build(tf_keras.layers))

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns x [B, T, C] float32 and y [B] int32, the same for every engine."""
        rng = np.random.default_rng(7)
        x = rng.normal(size=(self.batch, *self.shape)).astype(np.float32)
        return x, rng.integers(0, CLASSES, self.batch).astype(np.int32)


def _lstm(layers: Any) -> tuple[Any, Any]:
    x = layers.Input((128, 9), name="x")
    return x, layers.Dense(CLASSES)(layers.LSTM(64)(x))


def _transformer(layers: Any) -> tuple[Any, Any]:
    x = layers.Input((64, 64), name="x")
    y = layers.Dense(64)(x)
    for _ in range(4):
        z = layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Add()([y, layers.MultiHeadAttention(4, 16)(z, z)])
        z = layers.LayerNormalization(epsilon=1e-6)(y)
        z = layers.Dense(64)(layers.Dense(128, activation="gelu")(z))
        y = layers.Add()([y, z])
    y = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(y))
    return x, layers.Dense(CLASSES)(y)


CASES = {
    case.name: case
    for case in (
        Case("lstm", "LSTM of 64 units over 128 steps of 9", (128, 9), _lstm, 1.0),
        Case(
            "transformer",
            "4 blocks of attention (4 heads) and a gelu, 64 tokens of 64",
            (64, 64),
            _transformer,
            0.6,
        ),
    )
}
