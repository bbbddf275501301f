"""What is converted: every backbone of ours, and Keras' own applications.

All weights are trained, with batch statistics; the inputs are the smallest ones that
leave each net its structure.
"""

from __future__ import annotations

import dataclasses
from typing import Any

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """One model at one batch size.

    Attributes:
      name: unique.
      source: "models", a backbone of tflite_odl, or "applications", of tf_keras.
      model: the backbone's or the application's name.
      shape: of one row.
      batch: rows of a train call.
      options: the model's own.
      dtype: of the input: "uint8" for those that rescale pixels themselves.
      learning_rate: of SGD. Where it is so large that the loss of a fresh model goes
        into the thousands, evaluate's float32 is off by more than the gate allows,
        Keras' as ours.
    """

    name: str
    source: str
    model: str
    shape: tuple[int, ...]
    batch: int
    options: tuple[tuple[str, Any], ...] = ()
    dtype: str = "float32"
    learning_rate: float = 0.01


def _ours(model: str, shape: tuple[int, ...], batch: int = 8, **options: Any) -> Case:
    shown = "".join(f"-{name}{value:g}" for name, value in options.items())
    return Case(model + shown, "models", model, shape, batch, tuple(options.items()))


def _application(
    model: str, side: int, batch: int = 8, learning_rate: float = 0.01, **options: Any
) -> Case:
    shape, dtype = (side, side, 3), "uint8" if model in _OF_PIXELS else "float32"
    given = tuple(options.items())
    return Case(model, "applications", model, shape, batch, given, dtype, learning_rate)


_OF_PIXELS = (
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "ConvNeXtTiny",
    "RegNetX002",
)
IMAGE = (32, 32, 3)
_ALL = (
    _ours("mlp", (64,)),
    _ours("mlp", (64,), depth=3),
    _ours("inertial", (128, 6)),
    _ours("inertial", (128, 6), depth=5),
    _ours("keyword", (49, 10, 1)),
    _ours("keyword", (49, 10, 1), depth=8),
    _ours("resnet8", IMAGE),
    _ours("resnet14", IMAGE),
    _ours("resnet20", IMAGE),
    _ours("resnet32", IMAGE),
    _ours("resnet56", IMAGE),
    _ours("squeezenet", IMAGE),
    _ours("squeezenet", IMAGE, depth=4),
    _ours("densenet", IMAGE),
    _ours("densenet", IMAGE, depth=8),
    _ours("shufflenet", IMAGE),
    _ours("shufflenet", IMAGE, depth=4),
    _ours("mobilenet_v1", (64, 64, 3)),
    _ours("mobilenet_v1", (64, 64, 3), depth=10),
    _ours("mobilenet_v2", (96, 96, 3)),
    _ours("mobilenet_v2", (64, 64, 3), depth=2),
    _ours("mnasnet", (64, 64, 3)),
    _ours("mnasnet", (64, 64, 3), depth=2),
    _application("MobileNet", 32),
    _application("MobileNetV2", 32),
    _application("MobileNetV3Small", 32),
    _application("EfficientNetB0", 32),
    _application("DenseNet121", 32),
    _application("ResNet50V2", 32),
    _application("VGG16", 32, include_top=False),
    _application("EfficientNetV2B0", 32, learning_rate=0.001),
    _application("NASNetMobile", 32),
    _application("Xception", 71, batch=4),
    _application("InceptionV3", 75, batch=4),
    _application("ConvNeXtTiny", 32),
    _application("RegNetX002", 32),
)
CASES = {case.name: case for case in _ALL}
QUICK = ("mlp", "inertial", "keyword")


def build(case: Case):
    """Returns the case's Keras model with seeded initial weights."""
    import tf_keras

    from tflite_odl import models

    options = dict(case.options)
    if case.source == "models":
        return models.backbone(case.model, case.shape, CLASSES, **options)
    tf_keras.utils.set_random_seed(0)
    make = getattr(tf_keras.applications, case.model, None)
    if make is None:
        make = getattr(tf_keras.applications.regnet, case.model)
    if options.get("include_top", True):
        return make(input_shape=case.shape, weights=None, classes=CLASSES, **options)
    base = make(input_shape=case.shape, weights=None, pooling="avg", **options)
    logits = tf_keras.layers.Dense(CLASSES, name="head")(base.output)
    return tf_keras.Model(base.input, logits, name=base.name)
