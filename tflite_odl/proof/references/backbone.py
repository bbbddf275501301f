"""Keras behind an int8 backbone: the backbone's own outputs, the rest in Keras.

Rounding to 256 steps is discrete: where float32 and int8 arithmetic fall on different
sides of one, all behind it differs by far more than any rounding. So what learns is
compared on what the int8 kernels really put out, by themselves; these are compared with
TF-MOT's model when the backbone is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from tflite_odl.methods.network import Network


class Tail:
    """A copy of a network's model, run on what its first layers put out.

    Args:
      network: with a backbone, or without.
      copy: of its model, in any float dtype.
    """

    def __init__(self, network: Network, copy: tf_keras.Model) -> None:
        self.backbone, self.model = network.backbone, copy
        if self.backbone is None:
            return
        self.names = [node.name for node in network.tail.inputs]
        self.inputs = [node.name for node in network.graph.inputs]
        starts = [_tensor(network, copy, name) for name in self.names]
        self.model = tf_keras.Model(starts, copy.output)
        self.runner = run_alone(self.backbone.alone)

    def __call__(self, x: Sequence[np.ndarray], training: bool) -> tf.Tensor:
        """Returns the output [N, ...] of preprocessed rows."""
        if self.backbone is not None:
            ends = self.runner([np.asarray(one, np.float32) for one in x])
            given = dict(zip(self.inputs, x, strict=True))
            given |= dict(zip(self.backbone.ends, ends, strict=True))
            x = [tf.cast(given[name], self.model.output.dtype) for name in self.names]
        return self.model(x if len(x) > 1 else x[0], training=training)


def run_alone(model: bytes):
    """Returns a function: rows of each input -> a backbone's outputs, in order."""
    interpreter = Interpreter(model_content=model)
    runner = interpreter.get_signature_runner("run")

    def run(x: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = []
        for row in range(len(x[0])):
            inputs = {f"x{k}": one[row : row + 1] for k, one in enumerate(x)}
            found = runner(**inputs)
            rows.append([found[f"y{k}"].copy() for k in range(len(found))])
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return run


def _tensor(network: Network, copy: tf_keras.Model, name: str):
    node = network.graph.node(name)
    if node.op == "input":
        return copy.inputs[[n.name for n in network.graph.inputs].index(name)]
    return copy.get_layer(node.layer).output
