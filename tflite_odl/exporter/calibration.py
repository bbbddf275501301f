"""Ranges of activations for the serving twin, found by running the folded graph.

TF-MOT finds ranges for the layers it knows; here every node of a graph has one,
whatever Keras layer it came from. The average is `tfmot`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tflite_odl.builtin import plan, serving, tape
from tflite_odl.builtin.graph import Graph
from tflite_odl.builtin.lowering import Pass, Rows
from tflite_odl.errors import ExportError
from tflite_odl.exporter.tfmot import BATCHES, DECAY, ROWS
from tflite_odl.quantizing import Range


def calibrated(
    graph: Graph,
    names: Sequence[str],
    x: Sequence[np.ndarray],
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[str, Range]:
    """Returns {node: range of its output}.

    The first batch sets the ranges, later ones move them by a fifth.

    Args:
      graph: folded.
      names: of the nodes that ranges are wanted of.
      x: one [N, ...] float32 for each input node.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: a range is not finite.
    """
    run, rows = _extremes(graph, names, x), len(x[0])
    found = np.zeros(0)
    for batch in range(BATCHES):
        progress(f"calibrate, batch {batch + 1} of {BATCHES}")
        chosen = np.arange(batch * ROWS, (batch + 1) * ROWS) % rows
        seen = run([one[chosen] for one in x]).numpy().astype(np.float64)
        found = seen if not batch else DECAY * found + (1 - DECAY) * seen
    if not np.isfinite(found).all():
        wrong = [n for n, ends in zip(names, found) if not np.isfinite(ends).all()]
        raise ExportError(
            f"calibrating: the outputs of {wrong[:3]} are not finite for the rows given"
        )
    return {name: (low, high) for name, (low, high) in zip(names, found.tolist())}


def _extremes(
    graph: Graph, names: Sequence[str], x: Sequence[np.ndarray]
) -> Callable[[Sequence[np.ndarray]], tf.Tensor]:
    """Returns a function: a batch -> [names, 2], least and largest of each output."""
    lowerings = {
        node.name: serving.FAMILIES.get(node.op) or plan.candidates(graph, node)[0]
        for node in graph.nodes
        if node.op != "input"
    }
    specs = [tf.TensorSpec((ROWS, *one.shape[1:]), tf.float32) for one in x]

    @tf.function(input_signature=[specs], autograph=False)
    def run(inputs):
        # Wanting all of them makes the tape run nodes that the output does not need.
        every = Pass(False, Rows.of(tf.ones([ROWS])), frozenset(lowerings))
        record = tape.forward(graph, lowerings, {}, inputs, every)
        values = [record.value(name) for name in names]
        return tf.stack([[tf.reduce_min(v), tf.reduce_max(v)] for v in values])

    return run
