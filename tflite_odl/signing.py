"""Ed25519 signatures of artifacts: who exported it, on top of whether it is whole.

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out public.pem

The private key signs at export, the public one is what a host trusts. Signed are two
messages: a fixed text and the sha256 of a model (`host.embedded.signed_digest`), and
another text and the sha256 of manifest.json, which has the hashes of all other files.
The package `cryptography` is needed only where keys are given.
"""

from __future__ import annotations

import os
from typing import Any

from tflite_odl import files
from tflite_odl.errors import ArtifactError

MODEL, MANIFEST = b"tflite_odl model\n", b"tflite_odl manifest\n"
SIGNATURE_BYTES, KEY_BYTES = 64, 32
MOST_KEY_BYTES = 2**14

Key = str | os.PathLike | bytes


def sign(key: Key, kind: bytes, digest: bytes) -> bytes:
    """Returns the signature, 64 bytes.

    Args:
      key: a file with an Ed25519 private key, PEM without a password, or 32 bytes.
      kind: `MODEL` or `MANIFEST`.
      digest: a sha256, 32 bytes.

    Raises:
      ArtifactError: no such key, or `cryptography` is not installed.
    """
    ed25519, serialization, _ = _library()
    if isinstance(key, bytes):
        found = _made(ed25519.Ed25519PrivateKey.from_private_bytes, key, "private key")
    else:
        content = files.read(key, ArtifactError, MOST_KEY_BYTES)
        found = _made(
            lambda pem: serialization.load_pem_private_key(pem, None),
            content,
            f"private key in {files.shown(key)}",
        )
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise ArtifactError(f"{files.shown(key)} has no Ed25519 key, but another kind")
    return found.sign(kind + digest)


def check(
    trusted: Key, kind: bytes, digest: bytes, signature: bytes, what: str
) -> None:
    """Checks a signature.

    Args:
      trusted: a file with an Ed25519 public key in PEM, or its 32 bytes.
      kind: `MODEL` or `MANIFEST`.
      digest: a sha256, 32 bytes.
      signature: 64 bytes.
      what: is signed, for messages.

    Raises:
      ArtifactError: the signature is not that key's; or no such key, or `cryptography`
        is not installed.
    """
    ed25519, serialization, exceptions = _library()
    if isinstance(trusted, bytes):
        make = ed25519.Ed25519PublicKey.from_public_bytes
        key = _made(make, trusted, "public key")
    else:
        content = files.read(trusted, ArtifactError, MOST_KEY_BYTES)
        where = f"public key in {files.shown(trusted)}"
        key = _made(serialization.load_pem_public_key, content, where)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ArtifactError(f"{files.shown(trusted)} has no Ed25519 key")
    try:
        key.verify(signature, kind + digest)
    except exceptions.InvalidSignature as error:
        raise ArtifactError(f"{what} was not signed by the trusted key") from error


def _made(make: Any, content: bytes, what: str) -> Any:
    """Returns a key; raises ArtifactError where the content is none."""
    try:
        return make(content)
    except (ValueError, TypeError, _library()[2].UnsupportedAlgorithm) as error:
        raise ArtifactError(f"no {what}: {error}") from error


def _library() -> tuple[Any, Any, Any]:
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ArtifactError(
            "signatures need cryptography: pip install 'tflite_odl[sign]'"
        ) from error
    return ed25519, serialization, exceptions
