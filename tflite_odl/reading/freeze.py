"""Which layers learn: `as_saved`, `all`, `head`, `last:K`, or a regular expression."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

AS_SAVED = "as_saved"
_SHOWN = 8


def trainable_layers(model: tf_keras.Model, spec: str) -> set[str]:
    """Returns the paths of the layers that learn, nested ones as "outer/inner".

    Args:
      model: functional or sequential.
      spec: `as_saved`, the layers with weights whose own `trainable` and whose models'
        is true, as Keras trains them; `all` layers with weights; `head`, the last of
        them; `last:K`, the last K; anything else is a regular expression, searched in
        the paths.

    Raises:
      ModelError: the model has no weights, or the spec selects nothing.
    """
    names = [path for path, layer in rebuild.all_layers(model) if layer.weights]
    if not names:
        raise ModelError(f"model {model.name!r} has no weights: nothing can be trained")
    if spec == AS_SAVED:
        return _as_saved(model)
    if spec == "all":
        return set(names)
    if spec == "head":
        return set(names[-1:])
    if spec.startswith("last:"):
        return set(names[-_count(spec, len(names)) :])
    return _matching(spec, names)


def summary(model: tf_keras.Model, learning: Collection[str]) -> str:
    """Returns a line: how many of the model's weights learn, and which layers do not.

    Args:
      model: functional or sequential.
      learning: paths of the layers that learn, as `trainable_layers` returns them.
    """
    layers = [pair for pair in rebuild.all_layers(model) if pair[1].weights]
    sizes = {path: _sizes(layer) for path, layer in layers}
    total = sum(learnable + fixed for learnable, fixed in sizes.values())
    count = sum(sizes[path][0] for path in learning)
    line = f"{count:,} of {total:,} weights learn"
    frozen = [path for path, _ in layers if path not in learning]
    return f"{line}; {len(frozen)} layers do not: {_listed(frozen)}" if frozen else line


def _sizes(layer: Any) -> tuple[int, int]:
    """Returns how many numbers of a layer a gradient can and cannot move."""
    fixed = [w for w in layer.weights if not w.trainable]
    numbers = sum(w.shape.num_elements() for w in layer.weights)
    kept = sum(w.shape.num_elements() for w in fixed)
    return numbers - kept, kept


def _as_saved(model: tf_keras.Model) -> set[str]:
    found = dict(_open_layers(model, "", ""))
    if not any(layer.trainable_weights for layer in found.values()):
        raise ModelError(
            f"every layer of model {model.name!r} is frozen, as it was saved: set "
            "trainable (--trainable) to all, head, last:K or a regular expression"
        )
    return set(found)


def _open_layers(model: Any, path: str, frozen: str) -> Iterator[tuple[str, Any]]:
    """Yields (path, layer) of the layers with weights that Keras trains.

    Args:
      model: functional or sequential.
      path: of the model, "" or with a slash at its end.
      frozen: name of a frozen model that this one is in, "" if there is none.
    """
    if not model.trainable:
        frozen = frozen or model.name
    for layer in {id(call.layer): call.layer for call in rebuild.calls(model)}.values():
        where = path + layer.name
        if rebuild.is_model(layer):
            yield from _open_layers(layer, f"{where}/", frozen)
        elif layer.weights and layer.trainable and not _frozen_inside(layer):
            if not frozen:
                yield where, layer
            elif isinstance(layer, tf_keras.layers.BatchNormalization):
                raise ModelError(
                    f"batch norm {where!r} is trainable in a frozen model ({frozen}): "
                    "Keras would move its statistics but not its weights; set its own "
                    "trainable, or say which layers learn with --trainable"
                )


def _frozen_inside(layer: Any) -> bool:
    """Whether all that a TimeDistributed holds is frozen, though it is not itself."""
    if not isinstance(layer, tf_keras.layers.TimeDistributed):
        return False
    inside = layer.layer._flatten_layers()
    return not any(one.trainable for one in inside if one.weights)


def _count(spec: str, layers: int) -> int:
    text = spec.removeprefix("last:")
    if not re.fullmatch(r"[0-9]+", text) or not 1 <= int(text) <= layers:
        raise ModelError(
            f"trainable={spec!r}: K must be from 1 to {layers}, "
            "the number of layers with weights"
        )
    return int(text)


def _matching(spec: str, names: list[str]) -> set[str]:
    try:
        found = {name for name in names if re.search(spec, name)}
    except re.error as error:
        raise ModelError(
            f"trainable={spec!r} is not as_saved, all, head, last:K or a regular "
            f"expression: {error}"
        ) from error
    if not found:
        raise ModelError(
            f"trainable={spec!r} matches no layer with weights; there are "
            f"{_listed(names)}"
        )
    return found


def _listed(names: list[str]) -> str:
    """Returns the last names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[-_SHOWN:])}{more}"
