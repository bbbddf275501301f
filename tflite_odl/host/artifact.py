"""Opens an artifact: a folder, or one bare `.tflite` that describes itself."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import struct
import zlib

from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract
from tflite_odl.errors import ArtifactError

ZLIB_BYTE = 0x78


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A model and its manifest.

    Attributes:
      path: the folder, or the bare model file.
      model: content of the `.tflite`.
      manifest: from manifest.json, or from inside a bare model.
    """

    path: pathlib.Path
    model: bytes
    manifest: contract.Manifest

    @classmethod
    def open(cls, path: str | os.PathLike, verify: bool = True) -> Artifact:
        """Reads an artifact and checks the hashes of its files.

        Raises:
          ArtifactError: missing, altered or rejected; what and where is said.
          ContractError: it follows a newer contract than this package.
        """
        path = pathlib.Path(path)
        if path.is_file():
            model = path.read_bytes()
            return cls(path, model, embedded_manifest(model, path))
        if not path.is_dir():
            raise ArtifactError(f"no artifact at {path}: neither a folder nor a file")
        rejected = path / contract.REJECTED_FILE
        if rejected.exists():
            reason = rejected.read_text().strip()
            raise ArtifactError(f"{path} was rejected when it was exported: {reason}")
        manifest = contract.Manifest.from_json(_read(path / contract.MANIFEST_FILE))
        found = cls(path, _read(path / contract.MODEL_FILE), manifest)
        if verify:
            found.verify()
        return found

    def verify(self) -> None:
        """Compares hashes, and the manifest beside the model with the one inside.

        Raises:
          ArtifactError: naming the first file that is missing or altered.
        """
        if self.path.is_file():
            return
        beside, files = self.path / contract.MANIFEST_FILE, self.manifest.files
        if not isinstance(files, dict) or contract.MODEL_FILE not in files:
            raise ArtifactError(f"{beside} has no hash of {contract.MODEL_FILE}")
        for name, expected in files.items():
            found = hashlib.sha256(_read(self.path / name)).hexdigest()
            if found != expected:
                raise ArtifactError(
                    f"{self.path / name} was altered: its sha256 is {found[:12]}..., "
                    f"the manifest has {expected[:12]}..."
                )
        inside = embedded_manifest(self.model, self.path / contract.MODEL_FILE)
        if inside != dataclasses.replace(self.manifest, files={}):
            raise ArtifactError(f"{beside} was altered: the model holds another one")


def embedded_manifest(model: bytes, where: object = "the model") -> contract.Manifest:
    """Returns the manifest inside a `.tflite`.

    Raises:
      ArtifactError: not a TFLite file, or one without our manifest.
    """
    if model[4:8] != b"TFL3":
        raise ArtifactError(f"{where} is not a TFLite model")
    try:
        text = embedded(model)
    except (AttributeError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise ArtifactError(f"{where} is cut or damaged: {error!r}") from error
    except (struct.error, zlib.error) as error:
        raise ArtifactError(f"{where} is cut or damaged: {error!r}") from error
    if text is None:
        raise ArtifactError(
            f"{where} holds no manifest: it was not exported by tflite_odl"
        )
    return contract.Manifest.from_json(text)


def embedded(model: bytes) -> str | None:
    """Returns the manifest's text from inside a model, or None."""
    root = schema.Model.GetRootAs(model, 0)
    for index in range(root.MetadataLength()):
        entry = root.Metadata(index)
        if entry.Name() == contract.METADATA_NAME.encode():
            content = root.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            packed = content[0] == ZLIB_BYTE
            return (zlib.decompress(content) if packed else content).decode()
    return None


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
