"""Weights of another artifact, taken where names and shapes agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tflite_odl.contract import TensorSpec
from tflite_odl.errors import CheckpointError

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Adopted:
    """What became of the weights.

    Attributes:
      taken: names of those that were taken.
      kept: of those that stay as they were: the other artifact has none of that name.
      differing: likewise, of another shape or dtype there.
    """

    taken: tuple[str, ...]
    kept: tuple[str, ...]
    differing: tuple[str, ...]


def adopt(state: Sequence[TensorSpec], given: Arrays) -> Adopted:
    """Returns which weights of a state another one gives.

    Args:
      state: of the artifact that takes them.
      given: {name: array}, of the other one's state.

    Raises:
      CheckpointError: none agrees, or one that does is not finite.
    """
    weights = [spec for spec in state if spec.role == "weight"]
    here = [spec for spec in weights if spec.name in given]
    taken = [
        spec.name
        for spec in here
        if (given[spec.name].shape, str(given[spec.name].dtype))
        == (spec.shape, spec.dtype)
    ]
    if not taken:
        raise CheckpointError(
            "no weight of the checkpoint has the name and shape of one here: it is of "
            "another model"
        )
    broken = [name for name in taken if not np.isfinite(given[name]).all()]
    if broken:
        raise CheckpointError(f"weights of the checkpoint are not finite: {broken}")
    return Adopted(
        tuple(taken),
        tuple(spec.name for spec in weights if spec.name not in given),
        tuple(spec.name for spec in here if spec.name not in taken),
    )
