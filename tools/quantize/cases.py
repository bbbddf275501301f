"""What the suite compares: a net on a set, methods and recipes."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

RECORDINGS = pathlib.Path(__file__).parents[3] / "shared" / "data"
SIGNS = f"npz:{RECORDINGS}/traffic_sign_tracks.npz"
CIFAR10 = f"npz:{RECORDINGS}/cifar10_jpeg.npz"


@dataclasses.dataclass(frozen=True)
class Case:
    """A net, pre-trained in Keras on one set, that learns a user's on the phone.

    Attributes:
      backbone: of `tflite_odl/models`.
      before: the set it is pre-trained on.
      user: the set that it learns, of the same classes.
      epochs: of pre-training.
      steps: on the phone.
      batch: rows of a step.
      variants: names in `VARIANTS`; (): all.
    """

    backbone: str
    before: str
    user: str
    epochs: int = 12
    steps: int = 300
    batch: int = 16
    variants: tuple[str, ...] = ()


# What decides whether a phone serves what it learned: on sets of many held-out rows.
DECIDING = (
    "finetune float32",
    "finetune int8_serve",
    "finetune int8_weights",
    "finetune int8_backbone",
    "finetune pruned80_clustered16_int8",
    "skip int8_serve",
)
CASES = {
    "digits": Case("resnet8", "digits", "digits:rotate=90,invert"),
    "digits20": Case(
        "resnet20", "digits", "digits:rotate=90,invert", variants=DECIDING
    ),
    # More of the same: enough rows to tell a point.
    "signs": Case("resnet8", SIGNS, SIGNS, epochs=3, variants=DECIDING),
    "cifar10": Case("resnet8", CIFAR10, CIFAR10, epochs=4, variants=DECIDING),
}
# (method, recipe, options of the method)
HEAD = {"trainable": "head"}
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    f"{method} {recipe}": (method, recipe, options)
    for method, recipe, options in (
        *(
            ("finetune", recipe, {})
            for recipe in (
                "float32",
                "float16",
                "int8_weights",
                "int8_serve",
                "int4_dense",
                "int2_dense",
                "pruned50",
                "pruned80",
                "clustered16",
                "pruned80_clustered16_int8",
            )
        ),
        ("finetune", "int8_backbone", HEAD),
        ("skip", "int8_serve", {}),
        ("skip", "int8_backbone", HEAD),
    )
}
QUICK = {"digits": ("finetune float32", "finetune int8_serve")}
