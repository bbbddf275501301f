"""A fresh last Dense: the same features, other classes."""

from __future__ import annotations

from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.initial import glorot
from tflite_odl.reading import endings, rebuild
from tflite_odl.reading.copies import copy_input, copy_layer


def replace_head(
    model: tf_keras.Model, num_classes: int, seed: int = 0, name: str | None = None
) -> tuple[tf_keras.Model, str]:
    """Returns (a copy whose last Dense is fresh, with `num_classes` units, a note).

    The other weights, all layer names and the final activation are kept.

    Args:
      model: with one output.
      num_classes: units of the fresh Dense.
      seed: of its kernel.
      name: path of the Dense to replace; None takes the one that the output is made of.

    Raises:
      ModelError: `num_classes` below 1, no Dense of that name, or it is not clear which
        Dense makes the classes; those there are are named.
    """
    if num_classes < 1:
        raise ModelError(f"num_classes is {num_classes}, needs 1 or more")
    found = {path: one for path, one in rebuild.all_layers(model) if _is_dense(one)}
    path = _only(model, list(found)) if name is None else name
    if path not in found:
        raise ModelError(
            f"head {path!r} is no Dense of model {model.name!r}, it has {list(found)}"
        )
    head = found[path]
    if name is None and num_classes > 1 and _is_yes_or_no(head):
        raise ModelError(
            f"num_classes: Dense {path!r} is one sigmoid unit, a yes or no; of "
            f"{num_classes} such units each would be a yes or no of its own: say "
            f"--head={path} if that is meant, else end the model in softmax"
        )

    def make(layer: Any, where: str) -> tf_keras.layers.Layer:
        return _fresh(head, num_classes, seed) if layer is head else copy_layer(layer)

    def fill(old: Any, new: tf_keras.layers.Layer, where: str) -> None:
        if old is not head:
            rebuild.copy_weights(old, new, where)

    note = f"Dense {path!r}: {head.units} outputs replaced by {num_classes} fresh ones"
    return rebuild.rebuild(model, make, copy_input, fill), note


def _is_dense(layer: Any) -> bool:
    return isinstance(layer, tf_keras.layers.Dense)


def _is_yes_or_no(head: tf_keras.layers.Dense) -> bool:
    return head.units == 1 and endings.activation(head) == "sigmoid"


def _only(model: tf_keras.Model, dense: list[str]) -> str:
    """Returns the path of the Dense that the model's output is made of.

    Raises:
      ModelError: there is none, or several, or another layer with weights is behind it.
    """
    outputs = len(rebuild.graph(model).outputs)
    if outputs > 1:
        raise ModelError(
            f"num_classes: model {model.name!r} has {outputs} outputs: choose one "
            "(--output)"
        )
    made_of = endings.weighted(model)
    wrong = {path: one for path, one in made_of.items() if not _is_dense(one)}
    if len(made_of) == 1 and not wrong:
        return next(iter(made_of))
    said = [f"{path!r} ({type(one).__name__})" for path, one in made_of.items()]
    raise ModelError(
        f"num_classes: the output is made of {', '.join(said)}, not of one Dense whose "
        "units are the classes: "
        + (f"say which to replace with --head, of {dense}, or " if dense else "")
        + "leave num_classes out to train the model's own output"
    )


def _fresh(head: tf_keras.layers.Dense, units: int, seed: int) -> tf_keras.layers.Dense:
    config = head.get_config()
    config |= {"units": units, "kernel_initializer": glorot(seed, head.name)}
    config |= {"bias_initializer": "zeros"}
    return tf_keras.layers.Dense.from_config(config)
