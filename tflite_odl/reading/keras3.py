"""Keras 3 models, as stock tf.keras saves them today, rebuilt as tf_keras models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild
from tflite_odl.reading.compare import check_same

_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
_DROPPED = ("initializer", "regularizer", "constraint")
# Operations on symbolic tensors that are a layer under another name.
_OPERATIONS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "Add": lambda op: lambda *xs: tf_keras.layers.Add(name=op.name)(list(xs)),
    "Relu": lambda op: tf_keras.layers.ReLU(name=op.name),
    "Relu6": lambda op: tf_keras.layers.ReLU(6.0, name=op.name),
    "Softmax": lambda op: tf_keras.layers.Softmax(op.axis, name=op.name),
}


def load(path: str) -> tuple[tf_keras.Model, list[str]]:
    """Returns the tf_keras twin of a file saved by Keras 3, and notes for the user.

    Raises:
      ModelError: a layer that tf_keras has not, or that computes something else there.
    """
    import keras  # Keras 3, also where TF_USE_LEGACY_KERAS is set

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return from_keras3(model)


def from_keras3(model: Any) -> tuple[tf_keras.Model, list[str]]:
    """Returns the tf_keras twin of a Keras 3 model, outputs compared, and notes.

    Raises:
      ModelError: as `load`.
    """
    notes: list[str] = []
    twin = rebuild.rebuild(
        model, lambda layer, path: _translate(layer, path, notes), _input, _fill
    )
    check_same(model, twin)
    return twin, notes


def _input(tensor: Any) -> Any:
    return tf_keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)


def _translate(layer: Any, path: str, notes: list[str]) -> Callable[..., Any]:
    kind = type(layer).__name__
    if not hasattr(layer, "weights"):
        return _from_operation(layer, path)
    target = getattr(tf_keras.layers, kind, None)
    if target is None or not type(layer).__module__.startswith("keras."):
        raise ModelError(
            f"layer {path!r} ({kind}) cannot be rebuilt: tf_keras has none"
        )
    config = _plain(layer, path, notes)
    known = _parameters(target)
    lost = {key: value for key, value in config.items() if key not in known and value}
    if lost:
        notes.append(f"layer {path!r} ({kind}): {lost} left out, tf_keras has no such")
    try:
        return target(**{key: config[key] for key in config if key in known})
    except (TypeError, ValueError) as error:
        raise _cannot(path, kind, error) from error


def _plain(layer: Any, path: str, notes: list[str]) -> dict[str, Any]:
    """Returns the configuration without what training here does not use."""
    kind, renamed = type(layer).__name__, _RENAMED.get(type(layer).__name__, {})
    config = {}
    for key, value in layer.get_config().items():
        if key == "dtype":
            value = layer.dtype_policy.name
        if key.endswith(_DROPPED):
            if value and not key.endswith("initializer"):
                notes.append(f"layer {path!r} ({kind}): {key} left out")
        elif isinstance(value, dict):
            raise _cannot(path, kind, f"{key} is a {value.get('class_name')}")
        else:
            config[renamed.get(key, key)] = value
    if config.get("dtype", "float32") != "float32":
        raise _cannot(path, kind, f"dtype {config['dtype']}, needs float32")
    return config


def _parameters(target: type) -> set[str]:
    """Returns the arguments a tf_keras layer class takes."""
    found = {"name", "trainable", "dtype"}
    for base in target.__mro__:
        if issubclass(base, tf_keras.layers.Layer) and "__init__" in vars(base):
            found |= set(inspect.signature(base.__init__).parameters)
    return found - {"self", "kwargs", "args"}


def _from_operation(operation: Any, path: str) -> Callable[..., Any]:
    """Returns the layer for an operation on tensors, such as keras.ops.relu(x)."""
    kind = type(operation).__name__
    if kind not in _OPERATIONS:
        raise ModelError(
            f"operation {path!r} ({kind}) cannot be rebuilt; use a layer instead, or "
            f"one of {', '.join(_OPERATIONS)}"
        )
    return _OPERATIONS[kind](operation)


def _cannot(path: str, kind: str, why: object) -> ModelError:
    return ModelError(f"layer {path!r} ({kind}) cannot be rebuilt in tf_keras: {why}")


def _fill(old: Any, new: Any, path: str) -> None:
    """Copies the weights; raises ModelError if their shapes differ."""
    if not hasattr(old, "get_weights"):
        return
    values = old.get_weights()
    theirs, ours = [v.shape for v in values], [tuple(w.shape) for w in new.weights]
    if theirs != ours:
        why = f"its weights have shapes {theirs}, those of tf_keras {ours}"
        raise _cannot(path, type(old).__name__, why)
    new.set_weights(values)
