"""A fresh last Dense: the same features, other classes."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.initial import glorot
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import copy_input, copy_layer


def replace_head(
    model: tf_keras.Model, num_classes: int, seed: int = 0
) -> tuple[tf_keras.Model, str]:
    """Returns (a copy whose last Dense is fresh, with `num_classes` units, a note).

    The other weights, all layer names and the final activation are kept.

    Raises:
      ModelError: `num_classes` below 1, or the last layer with weights is no Dense.
    """
    if num_classes < 1:
        raise ModelError(f"num_classes is {num_classes}, needs 1 or more")
    weighted = [pair for pair in rebuild.all_layers(model) if pair[1].weights]
    path, head = weighted[-1] if weighted else ("", None)
    if not isinstance(head, tf_keras.layers.Dense):
        raise ModelError(
            f"the last layer with weights is {path!r} ({type(head).__name__}), needs a "
            "Dense to replace: leave num_classes out to train the model's own output"
        )

    def make(layer: Any, where: str) -> tf_keras.layers.Layer:
        return _fresh(head, num_classes, seed) if layer is head else copy_layer(layer)

    def fill(old: Any, new: tf_keras.layers.Layer, where: str) -> None:
        if old is not head:
            rebuild.copy_weights(old, new, where)

    note = f"Dense {path!r}: {head.units} outputs replaced by {num_classes} fresh ones"
    return rebuild.rebuild(model, make, copy_input, fill), note


def _fresh(head: tf_keras.layers.Dense, units: int, seed: int) -> tf_keras.layers.Dense:
    config = head.get_config()
    config |= {"units": units, "kernel_initializer": glorot(seed, head.name)}
    config |= {"bias_initializer": "zeros"}
    return tf_keras.layers.Dense.from_config(config)
