"""Writes trained weights into the serving twin: no converter, no TensorFlow.

The manifest's `serving` says where in the file each weight of the twin lies and by
which formula it is made of the state; see `Weight`. Everything else of the file stays
as it is, so the same checkpoint gives the same bytes on every machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.folding import Arrays, Formula, from_json
from tflite_odl.host import checkpoint as checkpoints
from tflite_odl.host.artifact import Artifact
from tflite_odl.leveling import Range

LITTLE = np.dtype("<f4")


@dataclasses.dataclass(frozen=True)
class Weight:
    """One weight of the twin.

    Attributes:
      formula: how it is made of tensors of the state and of the twin's constants.
      offset: of its first byte in the file.
      order: of the axes in the file: the value is transposed so, and stored in C order
        as little-endian float32; a quantized kernel as int8.
      bytes: its size.
      scales: offset of a quantized kernel's scale of each channel, float32; None: the
        weight is float32.
    """

    formula: Formula | Range
    offset: int
    order: tuple[int, ...]
    bytes: int
    scales: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON."""
        place = {"offset": self.offset, "order": list(self.order), "bytes": self.bytes}
        if self.scales is not None:
            place["scales"] = self.scales
        return {**self.formula.to_json(), **place}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Weight:
        """Reads what `to_json` gives."""
        order = tuple(content["order"])
        scales = content.get("scales")
        formula = from_json(content)
        return cls(formula, content["offset"], order, content["bytes"], scales)


@dataclasses.dataclass(frozen=True)
class Constant:
    """A frozen weight that a formula needs, kept in the twin beside its model.

    Attributes:
      offset: of its first byte in the file.
      shape: of it; C order, little-endian float32.
    """

    offset: int
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Twin:
    """What the manifest says of the serving twin.

    Attributes:
      weights: those that training changes.
      constants: by name.
      bytes: size of the file.
    """

    weights: tuple[Weight, ...]
    constants: Mapping[str, Constant]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest's `serving`."""
        constants = {
            name: {"offset": one.offset, "shape": list(one.shape)}
            for name, one in self.constants.items()
        }
        return {
            "file": contract.SERVING_FILE,
            "bytes": self.bytes,
            "weights": [weight.to_json() for weight in self.weights],
            "constants": constants,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Twin:
        """Reads the manifest's `serving`.

        Raises:
          ArtifactError: a part of it is missing or of another kind.
        """
        try:
            constants = {
                name: Constant(one["offset"], tuple(one["shape"]))
                for name, one in content["constants"].items()
            }
            weights = tuple(map(Weight.from_json, content["weights"]))
            return cls(weights, constants, content["bytes"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"the manifest's `serving` is incomplete: {error!r}"
            ) from error


def bake(
    artifact: str | os.PathLike | Artifact,
    checkpoint: str | os.PathLike | Arrays,
) -> bytes:
    """Returns the serving twin with trained weights, a `.tflite` with `infer` alone.

    Args:
      artifact: a folder, or an opened artifact. It is not changed.
      checkpoint: a folder of checkpoints, whose newest valid one is taken, a checkpoint
        file, or the state by name.

    Raises:
      ArtifactError: there is no twin, or it is not the one of the manifest.
      CheckpointError: no checkpoint, one of another artifact, or weights that are not
        finite.
    """
    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact)
    state = _state(opened.manifest, checkpoint)
    twin = Twin.from_json(opened.manifest.serving or _no_twin(opened))
    return patched(shipped(opened), twin, state)


def manifest_of(manifest: contract.Manifest) -> contract.Manifest:
    """Returns what a runtime needs to know of a twin: `infer` alone, and no state."""
    infer = {contract.INFER: manifest.signature(contract.INFER)}
    return dataclasses.replace(manifest, signatures=infer, state=())


def shipped(artifact: Artifact) -> bytes:
    """Returns the twin as it was shipped.

    Raises:
      ArtifactError: it is missing, or its hash is not the manifest's.
    """
    path = artifact.path / contract.SERVING_FILE
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    expected = artifact.manifest.files.get(contract.SERVING_FILE)
    if hashlib.sha256(model).hexdigest() != expected:
        raise ArtifactError(f"{path} was altered: its sha256 is not the manifest's")
    return model


def patched(model: bytes, twin: Twin, state: Arrays) -> bytes:
    """Returns a copy of a twin with the weights that a state makes.

    Raises:
      ArtifactError: a place is not in the file, or does not fit what belongs there.
      CheckpointError: the state lacks a tensor, or makes a weight that is not finite.
    """
    if len(model) != twin.bytes:
        raise ArtifactError(
            f"the serving twin has {len(model)} bytes, the manifest says {twin.bytes}"
        )
    out = bytearray(model)
    sources = {**state, **_constants(model, twin)}
    for weight in twin.weights:
        value = _value(weight.formula, sources)
        if weight.scales is None:
            _write(out, weight, value.astype(LITTLE))
            continue
        levels, scale = weight.formula.parts(sources)
        _write(out, weight, levels)
        out[_inside(out, weight.scales, scale.nbytes)] = scale.astype(LITTLE).tobytes()
    return bytes(out)


def _value(formula: Formula | Range, sources: Arrays) -> np.ndarray:
    missing = [name for name in formula.sources if name not in sources]
    if missing:
        raise CheckpointError(f"the state has no {missing}: the twin is made of them")
    # What overflows is refused by name.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = formula.value(sources)
    if not np.isfinite(value).all():
        raise CheckpointError(
            f"the state's {list(formula.sources)} make a weight that is not finite"
        )
    return value


def _write(out: bytearray, weight: Weight, value: np.ndarray) -> None:
    if sorted(weight.order) != list(range(value.ndim)) or value.nbytes != weight.bytes:
        raise ArtifactError(
            f"{list(weight.formula.sources)} make a weight {list(value.shape)} "
            f"{value.dtype}; the manifest has {weight.bytes} bytes, axes in the order "
            f"{list(weight.order)}"
        )
    content = value.transpose(weight.order).tobytes()
    place = _inside(out, weight.offset, len(content))
    out[place] = content


def _constants(model: bytes, twin: Twin) -> dict[str, np.ndarray]:
    found = {}
    for name, one in twin.constants.items():
        size = int(np.prod(one.shape)) * LITTLE.itemsize
        content = model[_inside(model, one.offset, size)]
        found[name] = np.frombuffer(content, LITTLE).astype(np.float32)
        found[name] = found[name].reshape(one.shape)
    return found


def _inside(model: bytes | bytearray, offset: Any, size: int) -> slice:
    """Returns where so many bytes lie; raises ArtifactError unless they are there."""
    if type(offset) is not int or not 0 <= offset <= len(model) - size:
        raise ArtifactError(
            f"the manifest puts {size} bytes at {offset!r} of a serving twin of "
            f"{len(model)}"
        )
    return slice(offset, offset + size)


def _no_twin(artifact: Artifact) -> dict:
    raise ArtifactError(
        f"{artifact.path} was exported without a serving twin: export it again"
    )


def _state(manifest: contract.Manifest, checkpoint: Any) -> Arrays:
    if isinstance(checkpoint, Mapping):
        return checkpoint
    path = pathlib.Path(checkpoint)
    if not path.is_dir():
        return checkpoints.load(path, manifest).state
    found = checkpoints.latest(path, manifest)
    if found is None:
        raise CheckpointError(f"no checkpoint in {path}")
    return found.state
