"""A model's inputs: how the signatures name them, and what is done to them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from tflite_odl.builtin import random
from tflite_odl.builtin.graph import Node
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ModelError

ONLY = "x"
TAKEN = ("y", "count", "weight")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One input of the model.

    Attributes:
      name: in the signatures.
      shape: without batch.
      preprocessing: from what the sensor gives to what the model takes.
      below: the values are whole numbers from 0 on, below this one, since the model
        indexes a table by them; None: any values.
    """

    name: str
    shape: tuple[int, ...]
    preprocessing: Preprocessing
    below: int | None = None

    def spec(self, batch_size: int) -> TensorSpec:
        shape = (batch_size, *self.shape)
        dtype = self.preprocessing.dtype
        about = "raw input"
        if self.below is not None:
            about = f"whole numbers from 0 to {self.below - 1}"
        return TensorSpec(self.name, dtype, shape, "feature", about=about)

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers to the model."""
        return self.below is not None or self.preprocessing.dtype == "int32"

    def bounds(self, limit: float) -> tuple[float, float]:
        """Returns the least and the largest value that may be learned from.

        Args:
          limit: largest absolute value of a feature that is no whole number.
        """
        return (-limit, limit) if self.below is None else (0.0, self.below - 1.0)

    def stays_within(self, limit: float) -> bool:
        """Whether no value that the sensor can give is out of bounds in the model."""
        if self.preprocessing.dtype != "uint8":
            return False
        settings, (low, high) = self.preprocessing, self.bounds(limit)
        ends = [np.multiply(settings.scale, end) + settings.offset for end in (0, 255)]
        return bool(np.min(ends) >= low and np.max(ends) <= high)

    def noise(self, state, batch_size: int, salts: random.Salts):
        """Returns uniform noise from -1 to 1, [B, ...], of the step's random state."""
        shape = (batch_size, *self.shape)
        salt = salts(f"noise/{self.name}")
        return random.uniform(state, shape, salt) * 2.0 - 1.0


def features(
    nodes: tuple[Node, ...], preprocessing: Preprocessing | Mapping[str, Preprocessing]
) -> tuple[Feature, ...]:
    """Returns the features of a model's input nodes, in their order.

    One input is `x`; several have their Keras names, letters, digits and `_` kept.

    Raises:
      ModelError: a name is taken, or preprocessing is given for unknown inputs.
    """
    names = [_name(node.name) for node in nodes] if len(nodes) > 1 else [ONLY]
    wrong = [name for name in names if name in TAKEN or names.count(name) > 1]
    if wrong:
        raise ModelError(
            f"inputs are named {names}: {wrong[0]!r} is taken, rename that input"
        )
    if isinstance(preprocessing, Preprocessing):
        preprocessing = dict.fromkeys(names, preprocessing)
    unknown = sorted(set(preprocessing) - set(names))
    if unknown:
        raise ModelError(f"preprocessing is for {unknown}, the inputs are {names}")
    return tuple(
        _feature(name, node, preprocessing.get(name, Preprocessing()))
        for name, node in zip(names, nodes, strict=True)
    )


def _feature(name: str, node: Node, given: Preprocessing) -> Feature:
    """Returns an input's feature; whole numbers are taken as int32, or as uint8 if that
    is asked for, and as they are."""
    below, whole = node.attributes.get("below"), node.attributes.get("dtype")
    if whole is not None and given == Preprocessing():
        given = Preprocessing("int32")
    scaled = given != Preprocessing(given.dtype)
    if scaled and (whole or below is not None):
        raise ModelError(
            f"input {name!r} is of whole numbers ({whole or 'places in a table'}): it "
            f"takes no scale and no offset, got {given}"
        )
    return Feature(name, node.shape, given, below)


def _name(keras: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", keras)
    return name if name[0].isalpha() else f"input_{name}"
