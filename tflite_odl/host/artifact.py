"""Opens an artifact: a folder, or one bare `.tflite` that describes itself."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib

from tflite_odl import contract
from tflite_odl.contract import version1
from tflite_odl.errors import ArtifactError
from tflite_odl.host import embedded, paths


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
        """Reads an artifact and checks its files, a bare one's own sha256.

        Raises:
          ArtifactError: missing, altered or rejected; what and where is said.
          ContractError: it follows a newer contract than this package.
        """
        path = pathlib.Path(path)
        if path.is_file():
            model = _read(path)
            return cls(path, model, embedded.manifest(model, path))
        if not path.is_dir():
            raise ArtifactError(f"no artifact at {path}: neither a folder nor a file")
        rejected = path / contract.REJECTED_FILE
        if rejected.exists():
            reason = _read(rejected).decode(errors="replace").strip()
            raise ArtifactError(f"{path} was rejected when it was exported: {reason}")
        manifest = contract.Manifest.from_json(_read(path / contract.MANIFEST_FILE))
        found = cls(path, _read(path / contract.MODEL_FILE), manifest)
        if verify:
            found.verify()
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of an artifact that can be used."""
        if self.manifest.contract_version > 1:
            return ()
        return (f"{self.path}: {version1.note(self.manifest)}",)

    def verify(self) -> None:
        """Compares hashes, and the manifest beside the model with the one inside.

        Raises:
          ArtifactError: naming the first file that is missing, altered, or not in the
            folder.
        """
        if self.path.is_file():
            return
        beside, files = self.path / contract.MANIFEST_FILE, self.manifest.files
        if contract.MODEL_FILE not in files:
            raise ArtifactError(f"{beside} has no hash of {contract.MODEL_FILE}")
        for name, expected in files.items():
            found = hashlib.sha256(_read(paths.inside(self.path, name))).hexdigest()
            if found != expected:
                raise ArtifactError(
                    f"{self.path / name} was altered: its sha256 is {found[:12]}..., "
                    f"the manifest has {expected[:12]}..."
                )
        where = self.path / contract.MODEL_FILE
        inside = embedded.manifest(self.model, where, bare=False)
        if inside != dataclasses.replace(self.manifest, files={}, delivery={}):
            raise ArtifactError(f"{beside} was altered: the model holds another one")


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
