"""Opens an artifact: a folder, or one bare `.tflite` that describes itself."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import stat

from tflite_odl import contract, files, signing
from tflite_odl.contract import version1
from tflite_odl.errors import ArtifactError
from tflite_odl.host import embedded, paths
from tflite_odl.signing import Key

MOST_REASON_BYTES = 2**20


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
    def open(
        cls, path: str | os.PathLike, verify: bool = True, trusted: Key | None = None
    ) -> Artifact:
        """Reads an artifact and checks its files, a bare one's own sha256.

        Args:
          path: of a folder, or of a bare `.tflite`.
          verify: whether the files of a folder are compared with their hashes.
          trusted: the Ed25519 public key whose signature is asked for, a PEM file or 32
            bytes; the files are verified then. None asks for no signature.

        Raises:
          ArtifactError: missing, altered, rejected, or not signed by the trusted key;
            what and where is said.
          ContractError: it follows a newer contract than this package.
        """
        path = pathlib.Path(path)
        with files.told(ArtifactError, f"no artifact at {files.shown(path)}"):
            mode = path.stat().st_mode
        if not stat.S_ISDIR(mode):
            model = _read(path)
            found = cls(path, model, embedded.manifest(model, path))
            found.check_signature(trusted)
            return found
        rejected = path / contract.REJECTED_FILE
        if os.path.lexists(rejected):
            content = files.read(rejected, ArtifactError, MOST_REASON_BYTES)
            reason = content.decode(errors="replace").strip()
            raise ArtifactError(f"{path} was rejected when it was exported: {reason}")
        content = files.read(
            path / contract.MANIFEST_FILE, ArtifactError, embedded.MOST_MANIFEST_BYTES
        )
        manifest = contract.Manifest.from_json(content)
        found = cls(path, _read(path / contract.MODEL_FILE), manifest)
        if verify or trusted is not None:
            found.verify()
        found.check_signature(trusted)
        return found

    def check_signature(self, trusted: Key | None) -> None:
        """Raises ArtifactError unless the key, if any, has signed this verified one.

        A folder's manifest.json is read again, and signed as it is.
        """
        if trusted is None:
            return
        if self.path.is_file():
            embedded.check_signature(self.model, trusted, self.path)
            return
        where = self.path / contract.MANIFEST_FILE
        embedded.check_signature(self.model, trusted, self.path / contract.MODEL_FILE)
        place = self.path / contract.SIGNATURE_FILE
        signature = files.read(place, ArtifactError, signing.SIGNATURE_BYTES)
        content = files.read(where, ArtifactError, embedded.MOST_MANIFEST_BYTES)
        if contract.Manifest.from_json(content) != self.manifest:
            raise ArtifactError(f"{where} has changed while it was read")
        digest = hashlib.sha256(content).digest()
        signing.check(trusted, signing.MANIFEST, digest, signature, str(where))

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
        beside, hashes = self.path / contract.MANIFEST_FILE, self.manifest.files
        if contract.MODEL_FILE not in hashes:
            raise ArtifactError(f"{beside} has no hash of {contract.MODEL_FILE}")
        for name, expected in hashes.items():
            found = hashlib.sha256(_read(paths.inside(self.path, name))).hexdigest()
            if found != expected:
                raise ArtifactError(
                    f"{self.path / name} was altered: its sha256 is {found[:12]}..., "
                    f"the manifest has {expected[:12]}..."
                )
        where = self.path / contract.MODEL_FILE
        inside = embedded.manifest(self.model, where, bare=False)
        if inside != dataclasses.replace(self.manifest, files={}):
            raise ArtifactError(f"{beside} was altered: the model holds another one")


def _read(path: pathlib.Path) -> bytes:
    return files.read(path, ArtifactError)
