"""What the suite compares: a net on a set, methods and recipes."""

from __future__ import annotations

import dataclasses
from typing import Any


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
    """

    backbone: str
    before: str
    user: str
    epochs: int = 12
    steps: int = 300
    batch: int = 16


CASES = {
    "digits": Case("resnet8", "digits", "digits:rotate=90,invert"),
    "digits20": Case("resnet20", "digits", "digits:rotate=90,invert"),
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
