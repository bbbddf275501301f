"""What training has seen of activations, once more: by TensorFlow's plain ops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin.observe import DECAY, SEEN
from tflite_odl.methods.network import Network
from tflite_odl.proof.proof import Arrays
from tflite_odl.proof.references.ops import Op


def seen(
    network: Network, state: Arrays, x: Sequence[np.ndarray], good: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the new value of what was seen, {} if nothing is followed.

    Args:
      network: that trains.
      state: before the step.
      x: one [good rows, ...] for each input, preprocessed, in the dtype to compute in.
      good: [B] bool, the rows that count.
    """
    if network.observed is None:
        return {}
    dtype, values = x[0].dtype, {}
    for node, rows in zip(network.graph.inputs, x, strict=True):
        whole = np.zeros((len(good), *rows.shape[1:]), dtype)
        whole[good] = rows
        values[node.name] = tf.constant(whole)
    own = {**network.graph.weights, **network.own(state)}
    for node in network.graph.nodes:
        if node.op != "input":
            weights = {
                role: tf.constant(own[name], dtype)
                for role, name in node.weights.items()
            }
            op = Op(node, weights, good, state["random"])
            values[node.name] = op([values[name] for name in node.inputs])
    largest = [
        float((values[e.node].numpy()[good] * e.sign).max())
        for e in network.observed.extremes
    ]
    name = network.prefix + SEEN
    before = state[name].astype(dtype)
    return {name: before * DECAY + np.array(largest, dtype) * (1 - DECAY)}
