"""Whether a model scales its inputs by itself."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

_SCALING = ("Rescaling", "Normalization")
# What reads whole numbers as they are, or computes with the input as it is written.
_OF_INPUTS = ("Embedding", "TFOpLambda")


def check_scaled(model: tf_keras.Model) -> None:
    """Raises ModelError if bytes would go into a model that nothing says are scaled.

    Args:
      model: that is fed with uint8 values from 0 to 255, no scale being told.
    """
    if not _scales(model) and any(t.dtype.is_floating for t in model.inputs):
        raise ModelError(
            f"the data is uint8, 0 to 255, and model {model.name!r} takes floats and "
            "has no Rescaling or Normalization layer: say --scale=1 if it was trained "
            "on such values, --scale=0.00392 if on values from 0 to 1, and --offset "
            "too if on others"
        )


def _scales(model: Any) -> bool:
    if any(type(layer).__name__ in _SCALING for _, layer in rebuild.all_layers(model)):
        return True
    inputs = {id(tensor) for tensor in rebuild.graph(model).inputs}
    return any(
        type(call.layer).__name__ in _OF_INPUTS
        and any(id(leaf) in inputs for leaf in tf.nest.flatten(call.args))
        for call in rebuild.calls(model)
    )
