"""Which layers learn: `all`, `head`, `last:K`, or a regular expression."""

from __future__ import annotations

import re

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

_SHOWN = 8


def trainable_layers(model: tf_keras.Model, spec: str) -> set[str]:
    """Returns the paths of the layers that learn, nested ones as "outer/inner".

    Args:
      model: functional or sequential.
      spec: `all` layers with weights; `head`, the last of them; `last:K`, the last K;
        anything else is a regular expression, searched in the paths.

    Raises:
      ModelError: the model has no weights, or the spec selects nothing.
    """
    names = [path for path, layer in rebuild.all_layers(model) if layer.weights]
    if not names:
        raise ModelError(f"model {model.name!r} has no weights: nothing can be trained")
    if spec == "all":
        return set(names)
    if spec == "head":
        return set(names[-1:])
    if spec.startswith("last:"):
        return set(names[-_count(spec, len(names)) :])
    return _matching(spec, names)


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
            f"trainable={spec!r} is not all, head, last:K or a regular expression: "
            f"{error}"
        ) from error
    if not found:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ModelError(
            f"trainable={spec!r} matches no layer with weights; there are "
            f"{', '.join(names[-_SHOWN:])}{more}"
        )
    return found
