"""Writes trained weights into the serving twin: no converter, no TensorFlow.

The manifest's `serving` says where in the file each weight of the twin lies and by
which formula it is made of the state; see `Weight`. Everything else of the file stays
as it is, so the same checkpoint gives the same bytes on every machine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract, files
from tflite_odl.errors import ArtifactError, CheckpointError
from tflite_odl.folding import Arrays, Formula
from tflite_odl.host import checkpoint as checkpoints
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.int8 import Int8
from tflite_odl.host.weights import Weight

LITTLE = np.dtype("<f4")

# What a formula of any content can raise.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    StopIteration,
    TypeError,
    ValueError,
)


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
      int8: what of it is int8, if anything is.
    """

    weights: tuple[Weight, ...]
    constants: Mapping[str, Constant]
    bytes: int
    int8: Int8 | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest's `serving`."""
        constants = {
            name: {"offset": one.offset, "shape": list(one.shape)}
            for name, one in self.constants.items()
        }
        content = {
            "file": contract.SERVING_FILE,
            "bytes": self.bytes,
            "weights": [weight.to_json() for weight in self.weights],
            "constants": constants,
        }
        return content | ({"int8": self.int8.to_json()} if self.int8 else {})

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
            int8 = content.get("int8")
            int8 = None if int8 is None else Int8.from_json(int8)
            return cls(weights, constants, content["bytes"], int8)
        except _MALFORMED as error:
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
    model = files.read(path, ArtifactError)
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
    put = functools.partial(_put, out)
    for weight in twin.weights:
        weight.write(put, _value(weight.formula, sources))
    if twin.int8 is not None:
        twin.int8.write(put, lambda formula: _value(formula, sources), state)
    return bytes(out)


def _value(formula: Formula, sources: Arrays) -> np.ndarray:
    missing = [name for name in formula.sources if name not in sources]
    if missing:
        raise CheckpointError(f"the state has no {missing}: the twin is made of them")
    # What overflows is refused by name.
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = formula.value(sources)
    except _MALFORMED as error:
        raise ArtifactError(
            f"the manifest makes nothing of {list(formula.sources)}: {error!r}"
        ) from error
    if not np.isfinite(value).all():
        raise CheckpointError(
            f"the state's {list(formula.sources)} make a weight that is not finite"
        )
    return value


def _put(out: bytearray, offset: int, value: np.ndarray) -> None:
    content = value.astype(value.dtype.newbyteorder("<")).tobytes()
    place = _inside(out, offset, len(content))
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
