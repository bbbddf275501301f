"""What an optimizer had gathered when its model was saved: slots and iteration."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tf_keras

from tflite_odl.builtin.optimizers import SUM, slot_name
from tflite_odl.errors import ModelError
from tflite_odl.reading import graph, rebuild
from tflite_odl.reading.compiled import optimizers

# Keras 3's sums of gradients, where several batches make one update.
_SUMS = "_accumulated_gradients"
_INSTEAD = "start with optimizer_state='fresh' (--optimizer_state)"


@dataclasses.dataclass(frozen=True)
class OptimizerState:
    """An optimizer's state.

    Attributes:
      batches: accepted before, also where several make one update.
      slots: {attribute of Keras' optimizer: {weight name: value}}, the names being
        those of the layer graph; weights that had no slot are left out.
    """

    batches: int
    slots: dict[str, dict[str, np.ndarray]]

    def named(self, optimizer: str) -> dict[str, np.ndarray]:
        """Returns {slot name: value} as an optimizer of `builtin` has its slots."""
        attributes = {**optimizers.KERAS_SLOTS[optimizer], SUM: _SUMS}
        return {
            slot_name(weight, slot): value
            for slot, attribute in attributes.items()
            for weight, value in self.slots.get(attribute, {}).items()
        }


def of_file(
    path: Path, api: Any, identifier: Any, model: tf_keras.Model
) -> OptimizerState:
    """Returns the state in a file.

    Args:
      path: of the model.
      api: the Keras that saved it.
      identifier: of its optimizer, in its compile configuration.
      model: the tf_keras model that came of the file.

    Raises:
      ModelError: the file has none, or one that does not fit its optimizer.
    """
    theirs = api.models.load_model(path, compile=False)
    values = _values(path, theirs)
    optimizer = optimizers.make(api, identifier, path.name)
    optimizer.build(theirs.trainable_variables)
    into = list(optimizer.variables)
    shapes = [tuple(value.shape) for value in values]
    if shapes != [tuple(variable.shape) for variable in into]:
        raise ModelError(
            f"{path.name} has an optimizer state of {len(shapes)} tensors, "
            f"{optimizers.class_name(identifier)} needs {len(into)} for the layers "
            f"that learn there: {_INSTEAD}"
        )
    for variable, value in zip(into, values, strict=True):
        variable.assign(value)
    return of_optimizer(optimizer, theirs, model)


def of_optimizer(optimizer: Any, theirs: Any, model: tf_keras.Model) -> OptimizerState:
    """Returns the state of a Keras optimizer.

    Args:
      optimizer: that trained a model.
      theirs: the model that it trained.
      model: that model or its tf_keras twin, whose graph has the names.

    Raises:
      ModelError: a legacy optimizer.
    """
    optimizer = optimizers.inner(optimizer)
    if ".legacy." in type(optimizer).__module__:
        raise ModelError(f"the state of a legacy optimizer is not read: {_INSTEAD}")
    places = {
        id(variable): (path, number)
        for path, layer in rebuild.all_layers(theirs)
        for number, variable in enumerate(layer.weights)
    }
    of_graph = {id(variable): name for name, variable in graph.variables(model).items()}
    named = {
        (path, number): (of_graph.get(id(variable)), tuple(variable.shape))
        for path, layer in rebuild.all_layers(model)
        for number, variable in enumerate(layer.weights)
    }
    index, slots = _index(optimizer), {}
    for variable in theirs.trainable_variables:
        name, shape = named[places[id(variable)]]
        if name is None or shape != tuple(variable.shape):
            continue
        for attribute, value in _slots(optimizer, index(variable)):
            slots.setdefault(attribute, {})[name] = value
    count = getattr(optimizer, "_iterations", optimizer.iterations)
    return OptimizerState(int(np.asarray(count)), slots)


def _slots(optimizer: Any, place: int) -> list[tuple[str, np.ndarray]]:
    """Returns (attribute, value) of the slots of one weight."""
    attributes = {
        a for slots in optimizers.KERAS_SLOTS.values() for a in slots.values()
    }
    found = []
    for attribute in sorted({*attributes, _SUMS}):
        of_weights = getattr(optimizer, attribute, None)
        if of_weights:
            found.append((attribute, np.asarray(of_weights[place])))
    return found


def _index(optimizer: Any) -> Callable[[Any], int]:
    """Returns (a variable -> its place in the lists of slots)."""
    if hasattr(optimizer, "_get_variable_index"):  # Keras 3
        return optimizer._get_variable_index
    return lambda variable: optimizer._index_dict[optimizer._var_key(variable)]


def _values(path: Path, model: Any) -> list[np.ndarray]:
    """Returns the saved variables of an optimizer, in its own order."""
    if path.is_dir():
        saved = getattr(getattr(model, "optimizer", None), "_variables", None) or []
        return [variable.numpy() for variable in saved]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            weights = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(weights) as file:
            found = file.get("optimizer/vars", {})
            return [found[str(number)][()] for number in range(len(found))]
    with h5py.File(path) as file:
        if "optimizer_weights" not in file:
            return []
        group = file["optimizer_weights"]
        return [group[name][()] for name in group.attrs["weight_names"]]
