"""Models of several outputs: one of them chosen, or all of them joined."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.reading import rebuild

# The layer that joins all outputs.
JOINED = "joined_outputs"


def names(model: tf_keras.Model) -> tuple[str, ...]:
    """Returns the names of a model's outputs, letters, digits and `_` kept: the keys of
    a dict of outputs, else their layers' names."""
    made = rebuild.ends(rebuild.graph(model))[1]
    # A dict is flattened by its sorted keys.
    given = sorted(made) if isinstance(made, Mapping) else model.output_names
    found = tuple(map(clean, given))
    if len(set(found)) < len(found):
        raise ModelError(f"outputs of one name in {list(found)}: rename their layers")
    return found


def clean(name: str) -> str:
    """Returns an output's name as signatures have it."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def shapes(model: tf_keras.Model) -> dict[str, tuple[int, ...]]:
    """Returns {output name: shape without the batch}."""
    outputs = rebuild.graph(model).outputs
    return {
        name: tuple(tensor.shape[1:])
        for name, tensor in zip(names(model), outputs, strict=True)
    }


def select(model: tf_keras.Model, name: str) -> tf_keras.Model:
    """Returns the part of a model that makes one of its outputs, nothing copied.

    Raises:
      ModelError: there is no output of that name.
    """
    known = names(model)
    if name not in known:
        raise ModelError(
            f"model {model.name!r} has no output {name!r}, it has {list(known)}"
        )
    output = rebuild.graph(model).outputs[known.index(name)]
    return _functional(model, output)


def joined(model: tf_keras.Model) -> tf_keras.Model:
    """Returns a model that gives all outputs as one, [B, N]: each flattened, in turn.

    Raises:
      ModelError: an output has no fixed shape.
    """
    flat = []
    outputs = rebuild.graph(model).outputs
    for (name, shape), tensor in zip(shapes(model).items(), outputs, strict=True):
        if None in shape or not shape:
            raise ModelError(f"output {name!r} has shape {shape}: needs fixed sizes")
        size = (math.prod(shape),)
        flat.append(tf_keras.layers.Reshape(size, name=f"{JOINED}_{name}")(tensor))
    return _functional(model, tf_keras.layers.Concatenate(name=JOINED)(flat))


def _functional(model: tf_keras.Model, output) -> tf_keras.Model:
    inputs = rebuild.ends(rebuild.graph(model))[0]
    return tf_keras.Model(inputs, output, name=model.name, trainable=model.trainable)
