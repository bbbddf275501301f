"""Recipes: what of an artifact is stored and computed in fewer bits.

A name says it all: what the training artifact's frozen part is, then what the serving
twin is. The table is data; README.md has it for people.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tflite_odl.errors import ExportError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an artifact is quantized.

    Attributes:
      name: as the command line has it.
      backbone: what the frozen part of the training artifact computes in, "float32" or
        "int8"; what learns is float32 always.
      serving: what the serving twin computes in, "float32" or "int8"; "int8_backbone":
        as the artifact; a key of `STORED`: float32, its weights stored in fewer bits.
      bits: of one weight in few bits.
      sparsity: share of the weights that are made zero.
      clusters: distinct values that the weights of a layer are held to; 0 sets none.
      optimizations: names of `tf.lite.Optimize`, which the converter is given.
      about: for people.
    """

    name: str
    backbone: str = "float32"
    serving: str = "float32"
    bits: int = 32
    sparsity: float = 0.0
    clusters: int = 0
    optimizations: tuple[str, ...] = ()
    about: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations are needed, and so rows to find them with."""
        return "int8" in (self.backbone, self.serving)

    def to_manifest(self) -> dict[str, Any]:
        """Returns what the manifest says of it, the name as `recipe`."""
        content = dataclasses.asdict(self)
        content["optimizations"] = list(self.optimizations)
        return {"recipe": content.pop("name"), **content}


# {serving: how the weights of the twin are stored, see `encoded.encodings`}
STORED = {
    "float16": "float16",
    "int8_weights": "int8",
    "int4_dense": "int4",
    "int2_dense": "int2",
}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", about="nothing is quantized"),
        Recipe(
            "int8_backbone",
            backbone="int8",
            serving="int8_backbone",
            bits=8,
            about="what is frozen from the inputs on is int8, what learns float32",
        ),
        Recipe(
            "int8_serve",
            serving="int8",
            bits=8,
            about="the serving twin is int8, its ranges follow training",
        ),
        Recipe(
            "int8_weights",
            serving="int8_weights",
            bits=8,
            about="kernels of the twin are stored in int8 and widened when loaded",
        ),
        Recipe(
            "float16",
            serving="float16",
            bits=16,
            about="weights of the twin are stored in float16 and widened when loaded",
        ),
        Recipe(
            "int4_dense",
            serving="int4_dense",
            bits=4,
            about="dense kernels of the twin are int4, what they read is rounded",
        ),
        Recipe(
            "int2_dense",
            serving="int2_dense",
            bits=2,
            about="dense kernels of the twin are int2, what they read is rounded",
        ),
    )
}


def recipe(name: str) -> Recipe:
    """Returns a recipe; raises ExportError naming those there are."""
    if name not in RECIPES:
        raise ExportError(f"recipe {name!r} is not one of {list(RECIPES)}")
    return RECIPES[name]
