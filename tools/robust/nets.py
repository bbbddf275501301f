"""Tiny artifacts, one or more of each method, made once."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

CLASSES, BATCH = 3, 6


def _mlp() -> Any:
    import tf_keras
    from tf_keras import layers as kl

    tf_keras.utils.set_random_seed(1)
    hidden = kl.Dense(8, activation="relu", name="hidden")
    return tf_keras.Sequential([kl.Input((4,)), hidden, kl.Dense(CLASSES, name="head")])


def _photo() -> Any:
    return _conv((6, 6, 3))


def _conv(shape: tuple[int, ...] = (6, 6, 2)) -> Any:
    import tf_keras
    from tf_keras import layers as kl

    tf_keras.utils.set_random_seed(2)
    x = image = kl.Input(shape)
    for number in (1, 2):
        x = kl.Conv2D(4, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = kl.ReLU()(kl.BatchNormalization(name=f"norm{number}")(x))
    x = kl.GlobalAveragePooling2D()(x)
    return tf_keras.Model(image, kl.Dense(CLASSES, name="head")(x))


# What `Preprocessing` is made of: images as a camera gives them.
BYTES = {"preprocessing": ("uint8", 1 / 127.5, -1.0)}
LOSS = {"loss": "sparse_cross_entropy"}
Case = tuple[str, Callable[[], Any], dict[str, Any]]
# {name: (method, model, options)}; a test holds every method of the library to be here.
CASES: dict[str, Case] = {
    "finetune-mlp": (
        "finetune",
        _mlp,
        {**LOSS, "optimizer": "adam", "learning_rate": 0.01},
    ),
    "finetune-conv": ("finetune", _conv, {**LOSS, "accumulate": 2, "noise": 0.1}),
    "skip-mlp": ("skip", _mlp, {"update_period": 4, "optimizer": "momentum"}),
    "skip-mlp-clipped": ("skip", _mlp, {"update_period": 4, "clip_norm": 1.0}),
    "skip-conv": ("skip", _conv, {"update_period": 4, "error_bound": 0.5}),
    "distill-conv": ("distill", _conv, {"student": "int4", "learning_rate": 0.01}),
    "contrastive-conv": (
        "contrastive",
        _photo,
        {"buffer": 8, "enroll": 6, "projector_width": 8, "projection": 6, **BYTES},
    ),
}
SMALL = "finetune-mlp"


def artifacts(
    folder: pathlib.Path, say: Callable[[str], None]
) -> dict[str, pathlib.Path]:
    """Returns the folder of each case, exported if it is not there."""
    found = {name: folder / name for name in CASES}
    for name, path in found.items():
        if not (path / "manifest.json").exists():
            say(f"export {name}")
            _export(name, path)
    return found


def _export(name: str, path: pathlib.Path) -> None:
    from tflite_odl import methods
    from tflite_odl.builtin.preprocess import Preprocessing
    from tflite_odl.exporter.export import export

    method, net, options = CASES[name]
    if "preprocessing" in options:
        taken = Preprocessing(*options["preprocessing"])
        options = {**options, "preprocessing": taken}
    made = methods.METHODS[method](net(), classes=("a", "b", "c"), **options)
    export(made, BATCH, infer_batch_size=2).save(path)
