"""Models that were trained with TF-MOT: its wrappers are taken off, weights kept.

Pruned and clustered weights are as TF-MOT's own strip functions leave them. Of a model
trained with fake quantization the trained weights are read; its ranges are found anew
where a recipe needs some.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

QUANTIZING = (
    "QuantizeAnnotate",
    "QuantizeLayer",
    "QuantizeWrapper",
    "QuantizeWrapperV2",
)
PRUNING, CLUSTERING = ("PruneLowMagnitude",), ("ClusterWeights",)
WRAPPERS = (*QUANTIZING, *PRUNING, *CLUSTERING)


def found(text: bytes | str) -> bool:
    """Whether a saved model's configuration names one of TF-MOT's wrappers."""
    text = text if isinstance(text, bytes) else text.encode()
    return any(f'"{name}"'.encode() in text for name in WRAPPERS)


def load(path: Path) -> tuple[tf_keras.Model, list[str]]:
    """Returns (a model with TF-MOT's wrappers without them, what was done).

    Args:
      path: a `.h5` file or the folder of a SavedModel.

    Raises:
      ModelError: a `.keras` file, which TF-MOT's models cannot be read from, or one
        that cannot be loaded.
    """
    if path.suffix == ".keras":
        raise ModelError(
            f"{path} holds TF-MOT's wrappers: no .keras file of these can be loaded "
            "(its variables do not fit), save it as .h5 or as a SavedModel, or strip it"
        )
    try:
        with _scope():
            model = tf_keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises what it meets, without a common base
        raise ModelError(
            f"{path}, a model of TF-MOT, cannot be loaded: {error}"
        ) from error
    return stripped(model)


def stripped(model: tf_keras.Model) -> tuple[tf_keras.Model, list[str]]:
    """Returns (a copy without wrappers, what was done); the model may be changed."""
    import tensorflow_model_optimization as tfmot

    kinds, notes = {type(layer).__name__ for layer in model.layers}, []
    if kinds.intersection(PRUNING):
        model = tfmot.sparsity.keras.strip_pruning(model)
        notes.append("TF-MOT's pruning wrappers are stripped, zeros stay")
    if kinds.intersection(CLUSTERING):
        model = tfmot.clustering.keras.strip_clustering(model)
        notes.append("TF-MOT's clustering wrappers are stripped, shared weights stay")
    if kinds.intersection(QUANTIZING):
        model = rebuild.rebuild(model, _unwrapped, _input, _fill)
        notes.append(
            "TF-MOT's fake quantization is taken off, the weights it trained stay; "
            "ranges are found anew"
        )
    return model, notes


@contextlib.contextmanager
def _scope() -> Iterator[None]:
    """Within the context Keras knows TF-MOT's classes."""
    import tensorflow_model_optimization as tfmot

    with contextlib.ExitStack() as stack:
        stack.enter_context(tfmot.quantization.keras.quantize_scope())
        stack.enter_context(tfmot.sparsity.keras.prune_scope())
        stack.enter_context(tfmot.clustering.keras.cluster_scope())
        yield


def _unwrapped(layer: Any, path: str) -> tf_keras.layers.Layer:
    kind = type(layer).__name__
    if kind == "QuantizeLayer":
        return tf_keras.layers.Activation("linear", name=layer.name)
    if kind not in QUANTIZING:
        return type(layer).from_config(layer.get_config())
    inner = layer.layer
    if hasattr(inner, "activation"):
        inner.activation = _own_activation(inner.activation)
    return type(inner).from_config(inner.get_config())


def _own_activation(function: Any) -> Any:
    """Returns the activation that the user gave."""
    while type(function).__name__ == "QuantizeAwareActivation":
        function = function.activation
    if type(function).__name__ == "NoOpActivation":
        return tf_keras.activations.linear
    return function


def _input(tensor: Any) -> Any:
    name = tensor.name.split(":")[0]
    return tf_keras.Input(tensor.shape[1:], name=name, dtype=tensor.dtype)


def _fill(old: Any, new: tf_keras.layers.Layer, path: str) -> None:
    """Gives a layer the weights of the same names; the wrapper's own are left out."""
    values = {_last(variable): variable.numpy() for variable in old.weights}
    new.set_weights([values[_last(variable)] for variable in new.weights])


def _last(variable: Any) -> str:
    return variable.name.split("/")[-1].split(":")[0]
