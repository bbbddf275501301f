"""Keras 3 models, as stock tf.keras saves them today, rebuilt as tf_keras models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import (
    applications,
    instead,
    keras3_ops,
    penalties,
    rebuild,
    simplify,
    sizes,
    subclasses,
    understood,
)
from tflite_odl.reading.compare import check_same
from tflite_odl.reading.config import TENSORFLOW_FUNCTIONS
from tflite_odl.reading.keras3_activations import TWINS
from tflite_odl.reading.precision import in_float32

_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# What tf_keras has to be told so that it computes as Keras 3 does: this batch norm's
# moving variance follows the variance itself, that of tf_keras' fused kernel the
# unbiased one.
_TOLD = {"BatchNormalization": {"fused": False}}
# Layers around others: {argument in tf_keras: attribute in Keras 3}.
_WRAPPERS = {
    "Bidirectional": {"layer": "forward_layer", "backward_layer": "backward_layer"},
    "TimeDistributed": {"layer": "layer"},
}
_OF_WEIGHTS = ("regularizer", "constraint")


def load(
    path: str, own: Collection[str] = (), input_shape: Sequence[int] = ()
) -> tuple[tf_keras.Model, list[str]]:
    """Returns the tf_keras twin of a file saved by Keras 3, and notes for the user.

    Args:
      path: of the file.
      own: names of classes of models that are not Keras' own, see `subclasses`.
      input_shape: of a row, for an input whose sizes the model leaves open.

    Raises:
      ModelError: a layer that tf_keras has not, or that computes something else there.
    """
    import keras  # Keras 3, also where TF_USE_LEGACY_KERAS is set

    options = {"custom_objects": subclasses.stand_ins(own, keras.Model)}
    functions = {
        name: getattr(keras.activations, twin)
        for name, twin in TENSORFLOW_FUNCTIONS.items()
    }
    with keras.saving.custom_object_scope(functions):
        model = keras.saving.load_model(path, compile=False, safe_mode=True, **options)
    return from_keras3(model, input_shape)


def from_keras3(
    model: Any, input_shape: Sequence[int] = ()
) -> tuple[tf_keras.Model, list[str]]:
    """Returns the tf_keras twin of a Keras 3 model, outputs compared, and notes.

    Raises:
      ModelError: as `load`.
    """
    model, notes = in_float32(model)
    notes += _call_notes(model)
    inputs = {id(tensor) for tensor in rebuild.graph(model).inputs}

    def make_input(tensor: Any) -> Any:
        return _input(tensor, input_shape if id(tensor) in inputs else ())

    twin = rebuild.rebuild(
        model, lambda layer, path: _translate(layer, path, notes), make_input, _fill
    )
    check_same(model, twin)
    return twin, notes


def _input(tensor: Any, input_shape: Sequence[int]) -> Any:
    shape = sizes.filled(tensor.shape[1:], input_shape)
    return tf_keras.Input(shape, dtype=tensor.dtype, name=tensor.name)


def _translate(
    layer: Any, path: str, notes: list[str], name: str = ""
) -> Callable[..., Any]:
    """Returns what takes a layer's place, by another name if one is given."""
    kind = type(layer).__name__
    if not hasattr(layer, "weights"):
        return keras3_ops.function(layer, path)
    if said := simplify.note(layer, path):
        notes.append(said)
        if simplify.is_augmentation(layer):
            return simplify.identity(layer)
        return _translate(layer.layer, path, notes, layer.name)
    if kind in _WRAPPERS:
        return _wrapped(layer, path, notes)
    if getattr(layer, "stateful", False):
        what, way = instead.STATEFUL
        raise ModelError(f"layer {path!r} ({kind}): {what}; use {way}")
    if instead.is_lookup(kind):
        raise ModelError(
            f"layer {path!r} ({kind}) has no builtin form: {instead.way(kind)}"
        )
    target = getattr(tf_keras.layers, kind, None) or applications.CLASSES.get(kind)
    if target is None or not type(layer).__module__.startswith("keras."):
        raise ModelError(
            f"layer {path!r} ({kind}) cannot be rebuilt: tf_keras has none"
        )
    config = {**_plain(layer, path), "name": name or layer.name}
    known = {*understood.defaults(target), *_required(target)}
    if issubclass(target, tf_keras.layers.RNN):
        known.add("zero_output_for_mask")  # taken unnamed
    _check_kept(layer, path, config, {*known, penalties.ACTIVITY})
    config |= _TOLD.get(kind, {})
    try:
        twin = target(**{key: config[key] for key in config if key in known})
    except (TypeError, ValueError) as error:
        raise _cannot(path, kind, error) from error
    if regularizer := config.get(penalties.ACTIVITY):
        twin.activity_regularizer = regularizer
    return twin


def _wrapped(layer: Any, path: str, notes: list[str]) -> Callable[..., Any]:
    """Returns a Bidirectional or a TimeDistributed, with what is inside of tf_keras."""
    understood.check_layer(layer, path)
    inside = {
        key: _translate(getattr(layer, name), f"{path}/{name}", notes)
        for key, name in _WRAPPERS[type(layer).__name__].items()
    }
    merge = {"merge_mode": layer.merge_mode} if hasattr(layer, "merge_mode") else {}
    target = getattr(tf_keras.layers, type(layer).__name__)
    return target(**inside, **merge, name=layer.name, trainable=layer.trainable)


def _plain(layer: Any, path: str) -> dict[str, Any]:
    """Returns the configuration with the names and the values that tf_keras has."""
    kind, renamed = type(layer).__name__, _RENAMED.get(type(layer).__name__, {})
    config: dict[str, Any] = {}
    for key, value in layer.get_config().items():
        if key == "dtype":
            value = layer.dtype_policy.name
        elif key.endswith("initializer"):
            continue
        elif key.endswith(_OF_WEIGHTS):
            value = _of_weights(layer, path, key, value)
        elif key.endswith("activation") and isinstance(value, str):
            value = TWINS.get(value, value)
        elif isinstance(value, dict) and key not in understood.HARMLESS:
            raise _cannot(path, kind, f"{key} is a {value.get('class_name')}")
        config[renamed.get(key, key)] = value
    return config


def _of_weights(layer: Any, path: str, key: str, value: Any) -> Any | None:
    """Returns the regularizer or constraint for tf_keras."""
    if value is None:
        return None
    try:
        if key.endswith("constraint"):
            return tf_keras.constraints.get(value)
        found = tf_keras.regularizers.get(value)
    except (TypeError, ValueError) as error:
        raise _cannot(path, type(layer).__name__, f"{key}: {error}") from error
    if key == penalties.ACTIVITY or not penalties.known(found):
        return found
    return penalties.OfLearning(**found.get_config())


def _check_kept(
    layer: Any, path: str, config: dict[str, Any], known: Collection[str]
) -> None:
    """Raises ModelError for an option that is not understood, or that is lost."""
    kind = type(layer)
    if kind.__name__ in understood.LAYERS:
        understood.check_layer(layer, path)
    dropped = {
        key: value
        for key, value in config.items()
        if key not in known and (key, value) != ("data_format", "channels_last")
    }
    understood.check(
        f"layer {path!r} ({kind.__name__})",
        dropped,
        understood.HARMLESS,
        understood.defaults(kind),
        "tf_keras has no such option: leave it at its default",
    )


def _required(target: type) -> set[str]:
    """Returns the arguments that the constructors of a class need."""
    return {
        name
        for base in target.__mro__
        if issubclass(base, tf_keras.layers.Layer) and "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and name != "self"
    }


def _call_notes(model: Any, path: str = "") -> list[str]:
    """Returns notes on calls whose `training` Keras 3's own fit would override."""
    notes = []
    for call in rebuild.calls(model):
        where = path + call.layer.name
        if call.kwargs.get("training") is False:
            notes.append(
                f"{where!r} is called with training=False: it stays in inference mode, "
                "as Keras documents; Keras 3's own fit overrides that"
            )
        if rebuild.is_model(call.layer):
            notes += _call_notes(call.layer, f"{where}/")
    return notes


def _cannot(path: str, kind: str, why: object) -> ModelError:
    return ModelError(f"layer {path!r} ({kind}) cannot be rebuilt in tf_keras: {why}")


def _fill(old: Any, new: Any, path: str) -> None:
    """Copies the weights; raises ModelError if their shapes differ."""
    if not hasattr(old, "get_weights"):
        return
    old = simplify.within(old)
    values = old.get_weights()
    theirs, ours = [v.shape for v in values], [tuple(w.shape) for w in new.weights]
    if theirs != ours:
        why = f"its weights have shapes {theirs}, those of tf_keras {ours}"
        raise _cannot(path, type(old).__name__, why)
    new.set_weights(values)
