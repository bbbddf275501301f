"""Reading a saved model's configuration before anything is built from it."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tf_keras
from tf_keras.protobuf import saved_metadata_pb2

from tflite_odl.errors import ModelError
from tflite_odl.reading import subclasses

_OWN = ("keras", "tf_keras", "builtins")
# Functions of TensorFlow that Keras 3 saves by their own names, and Keras' for them.
TENSORFLOW_FUNCTIONS = {
    "softmax_v2": "softmax",
    "log_softmax_v2": "log_softmax",
    "swish": "silu",
}


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """What a `.keras` or `.h5` file, or a SavedModel, says of the model in it.

    Attributes:
      keras_version: that saved it.
      config: of the model, empty for a SavedModel.
      compiled: `optimizer`, `loss` and the like as the model was compiled with them;
        empty where it was not.
    """

    keras_version: str
    config: dict[str, Any]
    compiled: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keras3(self) -> bool:
        return self.keras_version.split(".")[0] == "3"


def read(path: Path) -> SavedModel:
    """Returns the configuration in a `.keras` or `.h5` file.

    Raises:
      ModelError: the file is neither, or has weights only.
    """
    try:
        if zipfile.is_zipfile(path):
            return _from_zip(path)
        if h5py.is_hdf5(path):
            return _from_h5(path)
    except ModelError:
        raise
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged or no Keras model: {error!r}") from error
    raise ModelError(f"{path} is no Keras model: needs a .keras or .h5 file")


def _from_zip(path: Path) -> SavedModel:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json"))
    compiled = config.get("compile_config") or {}
    return SavedModel(str(metadata["keras_version"]), config, compiled)


def _from_h5(path: Path) -> SavedModel:
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ModelError(
                f"{path} has weights only: load them into the model they are of "
                "(model.load_weights), and save it whole with model.save(...)"
            )
        version = file.attrs.get("keras_version", "2")  # files before Keras 3 lack it
        config = json.loads(_text(file.attrs["model_config"]))
        training = json.loads(_text(file.attrs.get("training_config", "{}")))
        return SavedModel(_text(version), config, _with_optimizer(training))


def read_folder(path: Path) -> SavedModel:
    """Returns what the layers' metadata in a SavedModel of tf_keras say."""
    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
    roots = [node for node in metadata.nodes if node.node_path == "root"]
    training = json.loads(roots[0].metadata).get("training_config") if roots else None
    return SavedModel("2", {}, _with_optimizer(training or {}))


def _with_optimizer(training: dict[str, Any]) -> dict[str, Any]:
    """Returns a training configuration of the older formats with `optimizer` in it."""
    if not training:
        return {}
    return {**training, "optimizer": training.get("optimizer_config")}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def check_known(config: dict[str, Any]) -> None:
    """Raises ModelError naming the layers whose code is not in the file.

    These are Lambda layers, custom layers, and layers with a custom activation.
    """
    for kind, name, entry in _layers(config):
        where = f"layer {name!r} ({kind})"
        if kind == "Lambda":
            raise ModelError(
                f"{where}: its Python code is not loaded; use a layer of Keras"
            )
        foreign = _foreign(entry)
        if foreign == kind:
            raise ModelError(
                f"{where} is not a class of Keras: use layers of Keras and the "
                "functional or sequential API"
            )
        if foreign:
            raise ModelError(f"{where} uses {foreign!r}, which is not a part of Keras")


def _layers(config: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields (class, name, entry) of each layer and model, the inner ones first."""
    if not isinstance(config, dict):
        for item in config if isinstance(config, list) else ():
            yield from _layers(item)
        return
    inner = config.get("config")
    if isinstance(inner, dict):
        yield from _layers(inner.get("layers"))
        yield from _layers(inner.get("layer"))
        if "class_name" in config:
            kind = config["class_name"]
            yield kind, inner.get("name", config.get("name", kind)), config


def _foreign(entry: dict[str, Any]) -> str | None:
    """Returns the first class or function of an entry that Keras does not have."""
    kind = entry["class_name"]
    if not _is_own(entry, kind) and not subclasses.is_own(entry):
        return kind
    waiting = [
        (k, v) for k, v in entry["config"].items() if k not in ("layers", "layer")
    ]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            module = str(value.get("module", "keras")).split(".")[0]
            inner = value.get("class_name")
            if inner == "function" and value["config"] in TENSORFLOW_FUNCTIONS:
                continue
            if inner in ("function", "__lambda__"):
                return str(value["config"]) if inner == "function" else "lambda"
            if inner is not None and module not in _OWN:
                return inner
            waiting += value.items()
        elif key.endswith("activation") and not _is_activation(value):
            return str(value)
    return None


def _is_activation(value: Any) -> bool:
    import keras  # Keras 3

    if not isinstance(value, str):
        return True
    try:
        keras.activations.get(value)
    except ValueError:
        return hasattr(tf_keras.activations, value)
    return True


def _is_own(entry: dict[str, Any], kind: str) -> bool:
    """Whether a class is one of Keras' own, by its module, else by its name."""
    module = entry.get("module")
    if module is not None:
        return module.split(".")[0] in _OWN
    return kind in ("Functional", "Model", "Sequential") or _exists(kind)


def _exists(kind: str) -> bool:
    import keras  # Keras 3

    return hasattr(keras.layers, kind) or hasattr(tf_keras.layers, kind)
