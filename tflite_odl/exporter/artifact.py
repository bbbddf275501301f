"""Writes an artifact folder: the labelled model, its manifest, its goldens.

    model.tflite           the manifest is inside too, without the hashes
    serve.tflite           inference alone, with constant weights, if there is a twin
    manifest.json          with the sha256 of every other file
    manifest.sig           the signature of manifest.json, if a key is given
    goldens/index.json     calls in order, with their inputs and expected outputs
    goldens/*.bin          raw little-endian tensors, C order
    REJECTED.txt           only if the model failed a check: why

The folder appears as a whole or not at all: everything is written and fsync'd in a
sibling folder, which then takes the name; an older artifact and the new one exchange
their names in one step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Mapping

import numpy as np

from tflite_odl import contract, files, signing
from tflite_odl.errors import ArtifactError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.exchange import exchange
from tflite_odl.signing import Key

INDEX_FILE = "index.json"
SIBLING = ".artifact"
_OWN_FILES = (contract.MANIFEST_FILE, contract.MODEL_FILE)


@dataclasses.dataclass(frozen=True)
class Expected:
    """An output and how far another machine may be from it, with the reason."""

    value: np.ndarray
    rtol: float = 0.0
    atol: float = 0.0
    reason: str = "exact"


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a signature.

    Attributes:
      changes: tensors of the shipped state to set; the call then begins from there.
        None: it begins from what the call before has made.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, Expected]
    changes: Mapping[str, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Goldens:
    """Calls that any runtime can repeat, in order, the first from the shipped state."""

    calls: tuple[Call, ...]

    def files(self) -> dict[str, bytes]:
        """Returns the goldens folder, {file: content}; equal tensors share a file."""
        contents: dict[str, bytes] = {}
        tensors: dict[str, dict] = {}
        places: dict[tuple, str] = {}

        def store(value: np.ndarray, name: str) -> str:
            content = _little_endian(value)
            about = {"dtype": value.dtype.name, "shape": list(value.shape)}
            key = (about["dtype"], value.shape, content)
            file = places.setdefault(key, f"{name}.bin")
            contents[file], tensors[file] = content, about
            return file

        steps = [
            _step(call, f"{number:02d}_{call.signature}", store)
            for number, call in enumerate(self.calls)
        ]
        index = json.dumps({"tensors": tensors, "steps": steps}, indent=1)
        return {INDEX_FILE: index.encode(), **contents}


def artifact_id(model: bytes) -> str:
    """Returns the sha256 of the model before a manifest is embedded in it."""
    return hashlib.sha256(model).hexdigest()


def write(
    folder: str | os.PathLike,
    model: bytes,
    manifest: contract.Manifest,
    goldens: Goldens | None = None,
    rejected: str = "",
    twin: bytes | None = None,
    sign: Key | None = None,
) -> pathlib.Path:
    """Writes an artifact and returns its folder, replacing an older artifact there.

    Args:
      folder: where the artifact will be; its parents are made.
      model: without an embedded manifest.
      manifest: its `files` are filled in here; its id must be the model's.
      goldens: calls with expected outputs, if any.
      rejected: why the model failed; marks the folder so that no Session opens it.
      twin: the serving twin, if there is one.
      sign: an Ed25519 private key, a PEM file or 32 bytes; None signs nothing.

    Raises:
      ArtifactError: the manifest belongs to another model; the folder holds something
        that is not an artifact and would be lost; it cannot be written, or the system
        cannot exchange folders. What was there is as it was.
    """
    folder = pathlib.Path(folder).absolute()
    if manifest.artifact_id != artifact_id(model):
        raise ArtifactError(
            f"the manifest is of artifact {manifest.artifact_id[:12]!r}, "
            f"the model is {artifact_id(model)[:12]!r}"
        )
    contents = _contents(model, manifest, goldens, rejected, twin, sign)
    with files.told(ArtifactError, f"cannot write {files.shown(folder)}"):
        _check_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clean(folder)
        with _sibling(folder) as fresh:
            for name, content in contents.items():
                _write_synced(fresh / name, content)
            for path in (fresh, *(p for p in fresh.rglob("*") if p.is_dir())):
                files.sync_folder(path)
            _take_place(fresh, folder)
    return folder


def _contents(
    model: bytes,
    manifest: contract.Manifest,
    goldens: Goldens | None,
    rejected: str,
    twin: bytes | None,
    sign: Key | None,
) -> dict[str, bytes]:
    bare = dataclasses.replace(manifest, files={})
    contents = {contract.MODEL_FILE: flatbuffer.embed(model, bare.to_json(), sign)}
    for name, content in (goldens.files() if goldens else {}).items():
        contents[f"{contract.GOLDENS_FOLDER}/{name}"] = content
    if twin is not None:
        contents[contract.SERVING_FILE] = twin
    if rejected:
        contents[contract.REJECTED_FILE] = f"{rejected.rstrip()}\n".encode()
    hashes = {name: hashlib.sha256(contents[name]).hexdigest() for name in contents}
    complete = dataclasses.replace(manifest, files=hashes)
    contents[contract.MANIFEST_FILE] = complete.to_json(indent=1).encode()
    if sign is not None:
        digest = hashlib.sha256(contents[contract.MANIFEST_FILE]).digest()
        signature = signing.sign(sign, signing.MANIFEST, digest)
        contents[contract.SIGNATURE_FILE] = signature
    return contents


def _step(call: Call, prefix: str, store) -> dict:
    state = {}
    if call.changes is not None:
        changes = {
            name: store(np.asarray(value), f"{prefix}_state_{name}")
            for name, value in call.changes.items()
        }
        state = {"shipped_state_with": changes}
    return {
        "signature": call.signature,
        **state,
        "inputs": {
            name: store(np.asarray(value), f"{prefix}_in_{name}")
            for name, value in call.inputs.items()
        },
        "outputs": {
            name: {
                "file": store(np.asarray(expected.value), f"{prefix}_out_{name}"),
                "rtol": expected.rtol,
                "atol": expected.atol,
                "reason": expected.reason,
            }
            for name, expected in call.outputs.items()
        },
    }


def _little_endian(value: np.ndarray) -> bytes:
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


def _check_replaceable(folder: pathlib.Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder: name another place")
    if not os.access(folder, os.W_OK):
        raise ArtifactError(f"{folder} is read-only: name another place")
    names = {path.name for path in folder.iterdir()}
    if names and not names >= set(_OWN_FILES):
        raise ArtifactError(
            f"{folder} holds files that are no artifact ({min(names)!r}, ...): "
            "they would be lost, name another folder"
        )


@contextlib.contextmanager
def _sibling(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a new folder beside `folder`; whatever is left of it is removed.

    Its name has the process' number, so that `_clean` knows what a kill left.
    """
    path = folder.parent / f".odl-{os.getpid()}-{uuid.uuid4().hex[:12]}{SIBLING}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _clean(folder: pathlib.Path) -> None:
    """Removes siblings of processes that have ended."""
    for path in folder.parent.glob(f".odl-*-*{SIBLING}"):
        process = path.name.split("-")[1]
        if process.isdecimal() and not files.is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _take_place(fresh: pathlib.Path, folder: pathlib.Path) -> None:
    """Gives `fresh` the name `folder`; what had it is under the name of `fresh` then.

    Raises:
      ArtifactError: the system cannot exchange folders; both are kept.
    """
    if not folder.exists():
        fresh.rename(folder)
    elif not exchange(fresh, folder):
        kept = folder.with_name(f"{folder.name}.new-{uuid.uuid4().hex[:8]}")
        fresh.rename(kept)
        raise ArtifactError(
            f"{folder} holds an older artifact, and this file system cannot exchange "
            f"folders in one step: the new one is in {kept}, the older one is as it was"
        )
    files.sync_folder(folder.parent)


def _write_synced(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
