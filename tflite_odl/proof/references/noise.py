"""Keras' own Dropout and noise layers, drawing what an artifact draws.

Only the uniform numbers are the graph's, which `tests/builtin/test_random.py` pins; how
they become a mask or noise, and where that is applied, is Keras' and NumPy's.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflite_odl.builtin import dropout
from tflite_odl.builtin.graph import Graph
from tflite_odl.reading import rebuild


class DrawnNoise:
    """The random generators of a Keras model's layers, replaced.

    Args:
      model: the Keras model, changed in place.
      graph: the layer graph of the same model.
    """

    def __init__(self, model: tf_keras.Model, graph: Graph) -> None:
        self.nodes = [node for node in graph.nodes if node.op in dropout.FAMILIES]
        layers = dict(rebuild.all_layers(model))
        self.generators = {node.layer: Generator() for node in self.nodes}
        for path, generator in self.generators.items():
            _drawing(layers[path])._random_generator = generator

    def set(self, state: np.ndarray, rows: np.ndarray) -> None:
        """Prepares the draws of one training step.

        Args:
          state: [2] int32, the graph's random state.
          rows: [B] bool, the rows the model is called with.
        """
        for generator in self.generators.values():
            generator.waiting.clear()
        for node in self.nodes:
            chosen = rows if node.attributes["rows"] else slice(None)
            draws = dropout.uniforms(node, tf.constant(state), len(rows))
            found = [draw.numpy()[chosen] for draw in draws]
            self.generators[node.layer].waiting.append(found)


def _drawing(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns what has the generator: attention of several heads has an inner layer."""
    return getattr(layer, "_dropout_layer", layer)


class Generator:
    """Stands for the generator of one layer: hands out draws, one for each call."""

    def __init__(self) -> None:
        self.waiting: collections.deque[list[np.ndarray]] = collections.deque()

    def dropout(self, inputs: tf.Tensor, rate: float, noise_shape=None) -> tf.Tensor:
        (uniform,) = self.waiting.popleft()
        if noise_shape is not None and tuple(noise_shape) != uniform.shape:
            raise ValueError(f"Keras draws {tuple(noise_shape)}, not {uniform.shape}")
        factor = ((uniform >= rate) / (1.0 - rate)).astype(inputs.dtype.name)
        if noise_shape is None:
            # Attention along several axes draws for all steps in a row.
            factor = factor.reshape(inputs.shape)
        return inputs * factor

    def random_uniform(self, shape: Any) -> np.ndarray:
        (uniform,) = self.waiting.popleft()
        return uniform

    def random_normal(self, shape, mean=0.0, stddev=1.0, dtype=None) -> tf.Tensor:
        radius, angle = (u.astype(np.float64) for u in self.waiting.popleft())
        normal = np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)
        return tf.reshape(tf.cast(mean + stddev * normal, dtype), shape)
