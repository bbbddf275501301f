"""Checkpoints: the state in one safetensors file, written whole, the last one kept.

The header holds the artifact's id, the contract version, the step, the position in the
stream, and the sha256 of all that (`contract.digest`), so that a file that is foreign,
cut or altered is refused and the one before is used. From contract 2 on the rule of
that sha256 stays the same: damage is told from a newer file by it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping

import numpy as np
import safetensors
import safetensors.numpy

from tflite_odl import contract, files
from tflite_odl.contract import version1
from tflite_odl.contract.digest import digest
from tflite_odl.errors import CheckpointError

NEWEST, BEFORE = "checkpoint.safetensors", "checkpoint.before.safetensors"
Arrays = Mapping[str, np.ndarray]

# What reading a file of any content can raise; tensors of other dtypes the last ones.
_MALFORMED = (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError)


class ForeignCheckpoint(CheckpointError):
    """Whole, but of another artifact or a newer contract: someone may still need it."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state at one point of a run.

    Attributes:
      state: {name: array}, every tensor of the manifest's state.
      step: training steps that changed the state.
      position: batches of the stream that were consumed.
    """

    state: Arrays
    step: int
    position: int


def save(
    folder: str | os.PathLike, manifest: contract.Manifest, checkpoint: Checkpoint
) -> pathlib.Path:
    """Writes the checkpoint as the newest one; the newest so far is kept beside it.

    Raises:
      ForeignCheckpoint: the folder holds another artifact's; nothing was written.
      CheckpointError: it cannot be written; what was there is as it was.
    """
    folder = pathlib.Path(folder)
    with files.told(CheckpointError, f"cannot write to {files.shown(folder)}"):
        folder.mkdir(parents=True, exist_ok=True)
        return _save(folder, manifest, checkpoint)


def _save(
    folder: pathlib.Path, manifest: contract.Manifest, checkpoint: Checkpoint
) -> pathlib.Path:
    newest, before = folder / NEWEST, folder / BEFORE
    usable = _usable(newest, manifest)
    if _names_another(before, manifest):
        _usable(before, manifest)  # raises if it is whole
    state = {name: np.ascontiguousarray(v) for name, v in checkpoint.state.items()}
    header = {
        "artifact_id": manifest.artifact_id,
        "contract_version": str(contract.VERSION),
        "step": str(checkpoint.step),
        "position": str(checkpoint.position),
    }
    header["sha256"] = digest(header, state)
    with files.staged(newest, safetensors.numpy.save(state, header)) as fresh:
        if usable:
            os.replace(newest, before)
        os.replace(fresh, newest)
    files.sync_folder(folder)
    return newest


def _usable(path: pathlib.Path, manifest: contract.Manifest) -> bool:
    """Returns whether a file is worth keeping: a damaged one must not push out a whole.

    Raises:
      ForeignCheckpoint: it is not ours to replace.
    """
    if not os.path.lexists(path):
        return False
    try:
        load(path, manifest)
    except ForeignCheckpoint:
        raise
    except CheckpointError:
        return False
    return True


def _names_another(path: pathlib.Path, manifest: contract.Manifest) -> bool:
    """Whether a file's header, which may be damaged, is not of this artifact."""
    if not os.path.lexists(path):
        return False
    try:
        files.check_regular(path, CheckpointError)
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
    except (CheckpointError, *_MALFORMED):
        return False
    newer = header.get("contract_version") != str(contract.VERSION)
    return newer or header.get("artifact_id") != manifest.artifact_id


def load(path: str | os.PathLike, manifest: contract.Manifest) -> Checkpoint:
    """Reads one checkpoint.

    Raises:
      CheckpointError: missing, cut, altered, of another artifact, or of a newer
        contract.
    """
    path = pathlib.Path(path)
    header, state = _read(path)
    _check_header(path, header, manifest)
    _check_state(path, state, manifest)
    return Checkpoint(state, *(_count(path, header, n) for n in ("step", "position")))


def tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns what a checkpoint of any artifact holds.

    Args:
      path: of the file, or of a folder whose newest valid one is taken.

    Raises:
      CheckpointError: missing, cut or altered.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return _read(path)[1]
    try:
        return _read(path / NEWEST)[1]
    except CheckpointError:
        if not (path / BEFORE).exists():
            raise
        return _read(path / BEFORE)[1]


def _read(path: pathlib.Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Returns (header, tensors) of a file whose sha256 fits its content."""
    files.check_regular(path, CheckpointError)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _MALFORMED as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    older = header.get("contract_version") == "1"
    rule = version1.digest if older else digest
    if rule(header, state) != header.get("sha256"):
        raise CheckpointError(
            f"{path} was altered: its sha256 does not fit its content"
        )
    return header, state


def latest(
    folder: str | os.PathLike,
    manifest: contract.Manifest,
    refused: Callable[[CheckpointError], None] = lambda error: None,
) -> Checkpoint | None:
    """Returns the newest valid checkpoint of a folder, None if it has none at all.

    Args:
      folder: where `save` wrote.
      manifest: of the artifact that will take the state.
      refused: called with the reason for each file that is passed over.

    Raises:
      CheckpointError: there are checkpoints, but none can be used.
    """
    paths = [pathlib.Path(folder) / name for name in (NEWEST, BEFORE)]
    errors = []
    for path in filter(os.path.lexists, paths):
        try:
            return load(path, manifest)
        except CheckpointError as error:
            refused(error)
            errors.append(str(error))
    if errors:
        raise CheckpointError("no usable checkpoint: " + "; ".join(errors))
    return None


def _count(path, header: Mapping[str, str], name: str) -> int:
    """Returns a number of the header; raises CheckpointError where it is none."""
    text = header[name]
    if not re.fullmatch("[0-9]{1,15}", text):
        raise CheckpointError(f"{path}: {name} in its header is {text!r:.40}")
    return int(text)


def _check_header(path, header: Mapping[str, str], manifest: contract.Manifest) -> None:
    missing = {"artifact_id", "contract_version", "step", "position"} - set(header)
    if missing:
        raise CheckpointError(f"{path} is no checkpoint: its header lacks {missing}")
    if _count(path, header, "contract_version") > contract.VERSION:
        raise ForeignCheckpoint(
            f"{path} follows contract {header['contract_version']}, this package knows "
            f"{contract.VERSION} and below: update tflite_odl"
        )
    if header["artifact_id"] != manifest.artifact_id:
        raise ForeignCheckpoint(
            f"{path} belongs to artifact {header['artifact_id'][:12]}, "
            f"this is {manifest.artifact_id[:12]}"
        )


def _check_state(path, state: Arrays, manifest: contract.Manifest) -> None:
    expected = {s.name: (s.dtype, s.shape) for s in manifest.state}
    found = {name: (str(v.dtype), v.shape) for name, v in state.items()}
    if expected != found:
        differing = sorted(set(expected.items()) ^ set(found.items()))
        raise CheckpointError(f"{path} does not fit the state: {differing[:4]}")
    for spec in manifest.state:
        if problem := spec.misfit(state[spec.name]):
            raise CheckpointError(f"{path}: {problem}")
