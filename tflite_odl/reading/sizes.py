"""Inputs whose sizes a model leaves open, such as (None, None, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.copies import copy_input, copy_layer


def filled(shape: Sequence[int | None], given: Sequence[int]) -> tuple[int | None, ...]:
    """Returns an input's shape, its open sizes as they are given.

    Args:
      shape: of a row, None where it is open.
      given: the whole shape; an input without open sizes, or of another rank, stays as
        it is.

    Raises:
      ModelError: a size that is not open is given otherwise.
    """
    shape = tuple(shape)
    if None not in shape or len(shape) != len(given):
        return shape
    if any(size not in (None, new) for size, new in zip(shape, given, strict=True)):
        raise ModelError(
            f"input_shape {tuple(given)} does not fit the model's input {shape}: give "
            "sizes for None only"
        )
    return tuple(int(new) for new in given)


def fixed(model: tf_keras.Model, given: Sequence[int]) -> tf_keras.Model:
    """Returns the model with its inputs' open sizes as they are given.

    Raises:
      ModelError: as `filled`, or sizes are open and nothing is given for them.
    """
    inputs = rebuild.graph(model).inputs
    wanted = {id(t): filled(t.shape[1:], given) for t in inputs}
    for tensor, shape in zip(inputs, wanted.values(), strict=True):
        if None in shape:
            raise ModelError(
                f"input {tensor.name!r} has shape {shape}, an artifact's sizes are "
                "fixed: give the shape of a row, input_shape (--input_shape=96,96,3)"
            )
    if all(tuple(t.shape[1:]) == wanted[id(t)] for t in inputs):
        return model

    def make_input(tensor: Any) -> Any:
        if id(tensor) not in wanted:  # of a nested model
            return copy_input(tensor)
        name = tensor.name.split(":")[0]
        return tf_keras.Input(wanted[id(tensor)], dtype=tensor.dtype, name=name)

    return rebuild.rebuild(model, lambda layer, _: copy_layer(layer), make_input)
