"""Weights of a checkpoint put into a Keras model, where names and shapes agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading.graph import variables


@dataclasses.dataclass(frozen=True)
class Taken:
    """What became of a model's weights.

    Attributes:
      taken: names of those that were taken.
      kept: of those that stay as they were.
    """

    taken: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        kept = f"; as they were: {', '.join(self.kept)}" if self.kept else ""
        return f"{len(self.taken)} weights taken{kept}"


def put(model: tf_keras.Model, given: Mapping[str, np.ndarray]) -> Taken:
    """Sets the model's weights to those of a state, by their names in it.

    Raises:
      ModelError: no weight of the state has the name and shape of one of the model's.
    """
    named = variables(model)
    taken = [
        name
        for name, variable in named.items()
        if name in given and given[name].shape == tuple(variable.shape)
    ]
    if not taken:
        raise ModelError(
            f"none of {len(given)} tensors has the name and shape of a weight of model "
            f"{model.name!r}: they are of another model"
        )
    for name in taken:
        named[name].assign(given[name])
    return Taken(tuple(taken), tuple(name for name in named if name not in taken))
