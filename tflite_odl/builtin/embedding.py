"""Rows of a table, by whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tflite_odl.builtin.lowering import (
    Gradient,
    Gradients,
    Lowering,
    Output,
    Residual,
    Site,
)


class Embedding(Lowering):
    """y[..., :] = table[x[...], :]; dtable[i] = the sum of dy where x is i.

    A GATHER and a SCATTER_ND, which adds up what goes to one place. They stand at the
    start and at the end of a step, where leaving the XNNPACK partition costs little,
    and touch as many numbers as there are; a product with one-hot rows would touch the
    whole table for each. What is no place in the table is taken as the nearest one.
    """

    name = "gather"
    delegated = False

    def forward(self, site: Site, inputs: Sequence[tf.Tensor]) -> Output:
        table = tf.convert_to_tensor(site.weights["table"])
        y = tf.gather(table, _places(inputs[0], table.shape[0]))
        return Output(y, Residual(rows={"x": inputs[0]}))

    def backward(self, site: Site, residual: Residual, gradient: Gradient) -> Gradients:
        if not site.node.trainable:
            return Gradients([None])
        rows, width = site.weights["table"].shape
        dy, x = gradient.dense(), residual.rows["x"]
        count = math.prod(x.shape)
        places = tf.reshape(_places(x, rows), [count, 1])
        updates = tf.reshape(dy, [count, width])
        return Gradients(
            [None], {"table": tf.scatter_nd(places, updates, [rows, width])}
        )


def _places(x: tf.Tensor, rows: int) -> tf.Tensor:
    """Returns int32 places of a table of so many rows."""
    # After the cast, which makes anything of a NaN.
    return tf.minimum(tf.maximum(tf.cast(x, tf.int32), 0), rows - 1)


FAMILIES = {
    "embedding": (Embedding(),),
}
