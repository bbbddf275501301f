"""Keras backbones, one per file: `backbone("resnet8", (8, 8, 1), 10)` makes one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import tf_keras

from tflite_odl.errors import ModelError
from tflite_odl.models.bireal import bireal
from tflite_odl.models.densenet import densenet
from tflite_odl.models.inertial import inertial
from tflite_odl.models.keyword import keyword
from tflite_odl.models.mlp import mlp
from tflite_odl.models.mnasnet import mnasnet
from tflite_odl.models.mobilenet_v1 import mobilenet_v1
from tflite_odl.models.mobilenet_v2 import mobilenet_v2
from tflite_odl.models.norms import grouped
from tflite_odl.models.resnet import resnet
from tflite_odl.models.shufflenet import shufflenet
from tflite_odl.models.squeezenet import squeezenet

__all__ = ["BACKBONES", "backbone"]

BACKBONES: dict[str, Callable[..., tf_keras.Model]] = {
    "bireal8": functools.partial(bireal, depth=8),
    "bireal20": functools.partial(bireal, depth=20),
    "densenet": densenet,
    "inertial": inertial,
    "keyword": keyword,
    "mlp": mlp,
    "mnasnet": mnasnet,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "resnet8": functools.partial(resnet, depth=8),
    "resnet14": functools.partial(resnet, depth=14),
    "resnet20": functools.partial(resnet, depth=20),
    "resnet32": functools.partial(resnet, depth=32),
    "resnet56": functools.partial(resnet, depth=56),
    "shufflenet": shufflenet,
    "squeezenet": squeezenet,
}

NORMS = ("batch", "group")


def backbone(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int = 0,
    norm: str = "batch",
    **options: Any,
) -> tf_keras.Model:
    """Returns a backbone that ends in logits: its last layer is a linear Dense.

    Args:
      name: key of `BACKBONES`.
      input_shape: of one example, without the batch.
      num_classes: 1 or more, the outputs; a regression's are no classes.
      seed: of the initial weights; nothing global is read or changed.
      norm: "batch" normalization, or "group" in its place.
      **options: the backbone's own, such as `width`, `depth`, `alpha`.

    Raises:
      ModelError: an unknown name or option, or a shape the backbone cannot take.
    """
    if name not in BACKBONES:
        raise ModelError(f"no backbone {name!r}, there are {', '.join(BACKBONES)}")
    if num_classes < 1:
        raise ModelError(f"num_classes is {num_classes}, needs 1 or more")
    if norm not in NORMS:
        raise ModelError(f"norm {norm!r} is not one of {NORMS}")
    make = BACKBONES[name]
    known = list(inspect.signature(make).parameters)[3:]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ModelError(f"backbone {name!r} has options {known}, not {unknown}")
    model = make(tuple(input_shape), num_classes, seed, **options)
    return grouped(model) if norm == "group" else model
