"""Models of a user's own class, made of layers by the functional API.

Such a class usually has a `train_step` of its own. Its code is not in the file, but the
graph of its layers is, and that is what an artifact is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

# What a functional model's configuration has.
_GRAPH = ("layers", "input_layers", "output_layers")
_OWN = ("keras", "tf_keras", "builtins")


def found(config: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """Returns the names of the classes in a saved model's configuration that are a
    user's own and have a graph, and a note on each."""
    entries = list(_entries(config))
    names = tuple(dict.fromkeys(registered(entry) for entry in entries))
    notes = [
        f"model {entry['config'].get('name', '')!r} is of the class "
        f"{entry['class_name']!r}: the graph of its layers is taken, code of its own "
        "(train_step, call) is not in the file"
        for entry in entries
    ]
    return names, notes


def is_own(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is a functional model of a class that is not Keras' own."""
    inner, module = entry.get("config"), entry.get("module")
    if not isinstance(inner, dict) or not all(key in inner for key in _GRAPH):
        return False
    if module is None:  # as in .h5 files
        return entry.get("class_name") not in ("Functional", "Model", "Sequential")
    return module.split(".")[0] not in _OWN


def registered(entry: Mapping[str, Any]) -> str:
    """Returns the name by which Keras looks a class up."""
    return entry.get("registered_name") or entry["class_name"]


def stand_ins(names: Collection[str], model: type) -> dict[str, type]:
    """Returns a class without code of its own for each name.

    Args:
      names: by which Keras looks the classes up.
      model: Keras' own class of models.
    """
    return {name: type(name.split(">")[-1], (model,), {}) for name in names}


def _entries(config: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(config, list):
        for item in config:
            yield from _entries(item)
    elif isinstance(config, dict):
        if is_own(config):
            yield config
        inner = config.get("config")
        if isinstance(inner, dict):
            yield from _entries(inner.get("layers"))
            yield from _entries(inner.get("layer"))
