"""The manifest inside a `.tflite`, and the seal that says the file is whole.

The metadata entry "tflite_odl.manifest" names a buffer. The buffer's last 32 bytes are
the seal: the sha256 of the whole file with these 32 bytes set to 0. Before it stands
the manifest as UTF-8 JSON, or that in zlib's format when it is shorter: the first byte
of the former is `{`, of the latter 0x78. Every later contract keeps this, so that
damage is told from a newer file. Files of contract 1 have no seal.
"""

from __future__ import annotations

import hashlib
import zlib

from tflite_odl import contract, signing
from tflite_odl.contract import version1
from tflite_odl.errors import ArtifactError, ContractError
from tflite_odl.host.tables import Tables
from tflite_odl.signing import SIGNATURE_BYTES, Key

IDENTIFIER = b"TFL3"
SEAL_BYTES = 32
# Of its JSON; that of InceptionV3 takes 0.2 MB.
MOST_MANIFEST_BYTES = 1 << 24

_ZLIB_BYTE = 0x78
# Fields of the TFLite schema's tables, by their place in it.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0


def place(model: bytes, name: str = contract.METADATA_NAME) -> slice | None:
    """Returns where the buffer of a metadata entry is in a model, None without one.

    Raises:
      ArtifactError: no TFLite model, or an offset leads out of the file.
    """
    if model[4:8] != IDENTIFIER:
        raise ArtifactError("no TFLite model")
    tables = Tables(model)
    root = tables.follow(0)
    for entry in tables.tables(root, _MODEL_METADATA):
        if tables.text(entry, _METADATA_NAME) == name.encode():
            index = tables.value(entry, _METADATA_BUFFER, 4)
            buffer = tables.element(root, _MODEL_BUFFERS, index)
            start, length = tables.vector(buffer, _BUFFER_DATA, 1)
            return slice(start, start + length)
    return None


def seal(model: bytes, where: slice) -> bytes:
    """Returns the seal that belongs to a model whose manifest's buffer is there."""
    start = where.stop - SEAL_BYTES
    total = hashlib.sha256(memoryview(model)[:start])
    total.update(bytes(SEAL_BYTES))
    total.update(memoryview(model)[where.stop :])
    return total.digest()


def signed_digest(model: bytes) -> tuple[bytes, bytes]:
    """Returns (the sha256 that is signed, the signature) of a sealed model.

    The sha256 is of the whole file, the 64 bytes of the signature and the 32 of the
    seal set to 0.

    Raises:
      ArtifactError: it has no signature.
    """
    signature, manifest = place(model, contract.SIGNATURE_NAME), place(model)
    if signature is None or signature.stop - signature.start != SIGNATURE_BYTES:
        raise ArtifactError("has no signature")
    content = bytearray(model)
    content[signature] = bytes(SIGNATURE_BYTES)
    content[manifest.stop - SEAL_BYTES : manifest.stop] = bytes(SEAL_BYTES)
    return hashlib.sha256(content).digest(), model[signature]


def check_signature(model: bytes, trusted: Key, where: object) -> None:
    """Raises ArtifactError unless a sealed model was signed by the trusted key."""
    try:
        digest, signature = signed_digest(model)
    except ArtifactError as error:
        raise ArtifactError(f"{where} {error}") from error
    signing.check(trusted, signing.MODEL, digest, signature, str(where))


def is_sealed(model: bytes, where: slice) -> bool:
    """Whether a model is whole, as its seal says."""
    if where.stop - where.start <= SEAL_BYTES:
        return False
    return model[where.stop - SEAL_BYTES : where.stop] == seal(model, where)


def text(content: bytes) -> bytes:
    """Returns the manifest's JSON from what stands before the seal.

    Raises:
      ArtifactError: it is compressed and damaged.
    """
    if content[:1] != bytes([_ZLIB_BYTE]):
        return content
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(content, MOST_MANIFEST_BYTES)
    except zlib.error as error:
        raise ArtifactError(f"cut or damaged: {error}") from error
    if not unpacker.eof:
        raise ArtifactError(
            f"cut or damaged: its manifest does not end within {MOST_MANIFEST_BYTES} "
            "bytes"
        )
    return found


def manifest(
    model: bytes, where: object = "the model", bare: bool = True
) -> contract.Manifest:
    """Returns the manifest inside a `.tflite`, the file's seal checked first.

    Args:
      model: content of the file.
      where: the file's name, for messages.
      bare: no manifest beside it vouches for the file, so one of contract 1 is refused.

    Raises:
      ArtifactError: not a TFLite file, damaged, without our manifest, or of contract 1.
      ContractError: the contract is newer than this package.
    """
    try:
        found = place(model)
        if found is None:
            raise ArtifactError("holds no manifest: it was not exported by tflite_odl")
        if is_sealed(model, found):
            inside = text(model[found.start : found.stop - SEAL_BYTES])
            return contract.Manifest.from_json(inside)
        return _unsealed(model[found], bare)
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error}") from error


def _unsealed(content: bytes, bare: bool) -> contract.Manifest:
    """Returns a manifest of contract 1; anything else without a seal is damaged."""
    try:
        older = contract.Manifest.from_json(text(content))
    except (ArtifactError, ContractError) as error:
        raise ArtifactError("damaged: its sha256 does not fit its content") from error
    if older.contract_version > 1:
        raise ArtifactError("damaged: its sha256 does not fit its content")
    if bare:
        raise ArtifactError(
            "nothing says whether this file is whole, as "
            f"{version1.note(older)}; or open its folder"
        )
    return older
