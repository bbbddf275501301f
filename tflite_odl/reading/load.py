"""A user's saved Keras model, as it is: tf_keras or stock Keras 3, file or folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import (
    compiled,
    config,
    head,
    keras3,
    outputs,
    rebuild,
    sizes,
    subclasses,
    wrapped,
)
from tflite_odl.reading.precision import in_float32


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model ready for a method.

    Attributes:
      model: of tf_keras.
      notes: what the user should know of it.
      compiled: what it was compiled with; None: it was not.
      output: name of the only output that was chosen; "" if all are there.
    """

    model: tf_keras.Model
    notes: tuple[str, ...] = ()
    compiled: compiled.Compiled | None = None
    output: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return (self.output,) if self.output else outputs.names(self.model)

    @classmethod
    def of(cls, model: tf_keras.Model | LoadedModel) -> LoadedModel:
        """Returns a model in memory likewise, or what was loaded as it is."""
        if isinstance(model, LoadedModel):
            return model
        return cls(model, compiled=compiled.of_model(model))

    @property
    def num_classes(self) -> int:
        """Size of the last axis of the model's first output."""
        return int(rebuild.graph(self.model).outputs[0].shape[-1])


def load(
    path: str | Path,
    num_classes: int | None = None,
    seed: int = 0,
    output: str | None = None,
    head_layer: str | None = None,
    input_shape: Sequence[int] = (),
) -> LoadedModel:
    """Loads a model saved whole by tf_keras or by Keras 3.

    Args:
      path: a `.keras` or `.h5` file, or the folder of a SavedModel made by tf_keras.
      num_classes: the last Dense is replaced by a fresh one of so many classes; None
        keeps the model's own output.
      seed: of the fresh Dense.
      head_layer: path of the Dense to replace, where it is not the only last one.
      output: name of the only output to learn by, the others and what makes them are
        left out; None keeps all.
      input_shape: of a row, for an input whose sizes the model leaves open.

    Raises:
      ModelError: no model at this path, one without weights, or one with a layer that
        cannot be rebuilt; it is named.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(
            f"no model at {path}: needs a .keras or .h5 file or a SavedModel"
        )
    model, notes, saved = (
        _load_folder(path) if path.is_dir() else _load_file(path, input_shape)
    )
    model = sizes.fixed(model, input_shape)
    if not any(layer.weights for _, layer in rebuild.all_layers(model)):
        raise ModelError(f"{path}: model {model.name!r} has no weights to train")
    of_file = compiled.of_file(path, saved, model)
    notes = [*notes, *compiled.note_on_tables(of_file, model)]
    if output is not None:
        model = outputs.select(model, output)
    if num_classes is None and head_layer is not None:
        raise ModelError(f"head {head_layer!r} needs num_classes (--num_classes)")
    if num_classes is not None:
        model, note = head.replace_head(model, num_classes, seed, head_layer)
        notes = [*notes, note]
    return LoadedModel(model, tuple(notes), of_file, output or "")


def _load_file(
    path: Path, input_shape: Sequence[int]
) -> tuple[tf_keras.Model, list[str], config.SavedModel]:
    saved = config.read(path)
    if wrapped.found(json.dumps(saved.config)):
        return *wrapped.load(path), saved
    config.check_known(saved.config)
    own, notes = subclasses.found(saved.config)
    try:
        if saved.keras3:
            model, more = keras3.load(str(path), own, input_shape)
            version = saved.keras_version
            notes = [f"rebuilt in tf_keras from Keras {version}", *notes, *more]
            return model, notes, saved
        options = {"custom_objects": subclasses.stand_ins(own, tf_keras.Model)}
        model, more = in_float32(
            tf_keras.models.load_model(path, compile=False, safe_mode=True, **options)
        )
        return model, [*notes, *more], saved
    except ModelError:
        raise
    except Exception as error:  # Keras raises what it meets, without a common base
        raise ModelError(
            f"{path} (Keras {saved.keras_version}) cannot be loaded: {error}"
        ) from error


def _load_folder(path: Path) -> tuple[tf_keras.Model, list[str], config.SavedModel]:
    if not (path / "saved_model.pb").exists():
        raise ModelError(f"folder {path} has no saved_model.pb: it is no SavedModel")
    about = path / "keras_metadata.pb"
    if about.exists() and wrapped.found(about.read_bytes()):
        return *wrapped.load(path), config.read_folder(path)
    if not about.exists():
        raise ModelError(
            f"SavedModel {path} has a graph but no Keras layers: save with "
            "model.save('my_model.keras') instead of model.export(...)"
        )
    try:
        model = tf_keras.models.load_model(path, compile=False)
    except Exception as error:  # as above
        raise ModelError(f"SavedModel {path} cannot be loaded: {error}") from error
    _check_revived(model)
    return *in_float32(model), config.read_folder(path)


def _check_revived(model: tf_keras.Model) -> None:
    """Raises ModelError naming a layer that Keras revived without its code."""
    for path, layer in rebuild.all_layers(model):
        kind = type(layer)
        if kind.__name__ == "Lambda":
            raise ModelError(f"layer {path!r} (Lambda): use a layer of Keras instead")
        if (
            not hasattr(tf_keras.layers, kind.__name__)
            and kind.__name__ != "TFOpLambda"
        ):
            raise ModelError(
                f"layer {path!r} ({kind.__name__}) is not a layer of Keras"
            )
