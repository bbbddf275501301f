"""A signed artifact opens for its key; whatever an attacker re-hashes is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys

import pytest

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

from tests.host import toy  # noqa: E402
from tflite_odl import contract  # noqa: E402
from tflite_odl.errors import ArtifactError  # noqa: E402
from tflite_odl.exporter import artifact, flatbuffer  # noqa: E402
from tflite_odl.host import embedded  # noqa: E402
from tflite_odl.host.artifact import Artifact  # noqa: E402
from tflite_odl.host.session import Session  # noqa: E402

PRIVATE, OTHER = bytes(range(32)), bytes(range(1, 33))


def public(private: bytes) -> bytes:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
    return key.public_key().public_bytes_raw()


@pytest.fixture
def folder(tmp_path):
    return artifact.write(
        tmp_path / "signed", toy.model(), toy.manifest(), sign=PRIVATE, twin=b"twin"
    )


def test_a_signed_artifact_opens_as_a_folder_and_bare(folder, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes((folder / contract.MODEL_FILE).read_bytes())
    for place in (folder, bare):
        with Session(place, trusted=public(PRIVATE)) as session:
            assert session.step == 0
        with Session(Artifact.open(place), trusted=public(PRIVATE)):
            pass
        Artifact.open(place)
        for opened in (place, Artifact.open(place)):
            with pytest.raises(ArtifactError, match="not signed by the trusted key"):
                Session(opened, trusted=public(OTHER))


def test_an_artifact_without_a_signature_is_refused(tmp_path):
    folder = toy.write(tmp_path / "plain")
    for place in (folder, folder / contract.MODEL_FILE):
        with pytest.raises(ArtifactError, match="model.tflite has no signature"):
            Session(place, trusted=public(PRIVATE))


def test_what_is_changed_and_sealed_again_is_refused(folder, tmp_path):
    """In the weights, in the manifest, in the signature, in the seal's surroundings."""
    model = (folder / contract.MODEL_FILE).read_bytes()
    where = embedded.place(model)
    signature = embedded.place(model, contract.SIGNATURE_NAME)
    places = {*range(0, len(model), 997), where.start + 5, signature.start + 3}
    kernel = model.find(b"\0\0\0\0\xcd\xcc\xcc\x3d")  # 0, 0.1: the toy's weights
    assert kernel > 0
    for at in {*places, kernel + 4}:
        changed = bytearray(model)
        changed[at] ^= 1
        try:
            changed = flatbuffer._sealed(bytes(changed))
            path = tmp_path / "changed.tflite"
            path.write_bytes(changed)
            Artifact.open(path, trusted=public(PRIVATE))
        except ArtifactError:
            continue
        raise AssertionError(f"byte {at} may change")


def test_files_beside_the_model_are_signed_through_their_hashes(folder):
    twin = folder / contract.SERVING_FILE
    twin.write_bytes(b"evil")
    path = folder / contract.MANIFEST_FILE
    content = json.loads(path.read_text())
    content["files"][twin.name] = hashlib.sha256(b"evil").hexdigest()
    path.write_text(json.dumps(content))
    Artifact.open(folder)
    with pytest.raises(ArtifactError, match="manifest.json was not signed"):
        Artifact.open(folder, trusted=public(PRIVATE))
    (folder / contract.SIGNATURE_FILE).unlink()
    with pytest.raises(ArtifactError, match="cannot read .*manifest.sig"):
        Artifact.open(folder, trusted=public(PRIVATE))


def test_an_attackers_own_signature_is_not_the_trusted_one(folder, tmp_path):
    changed = dataclasses.replace(toy.manifest(), classes=("a", "b"))
    other = artifact.write(tmp_path / "other", toy.model(), changed, sign=OTHER)
    with pytest.raises(ArtifactError, match="not signed by the trusted key"):
        Artifact.open(other, trusted=public(PRIVATE))
    # A signature of the manifest is none of a model, and the other way round.
    model = (folder / contract.MODEL_FILE).read_bytes()
    _, signature = embedded.signed_digest(model)
    (folder / contract.SIGNATURE_FILE).write_bytes(signature)
    with pytest.raises(ArtifactError, match="manifest.json was not signed"):
        Artifact.open(folder, trusted=public(PRIVATE))


def test_keys_are_read_from_pem_files(tmp_path):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(PRIVATE)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private, trusted = tmp_path / "key.pem", tmp_path / "public.pem"
    pkcs8 = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, plain))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    trusted.write_bytes(key.public_key().public_bytes(pem, spki))
    folder = artifact.write(
        tmp_path / "a", toy.model(), toy.manifest(), sign=str(private)
    )
    Artifact.open(folder, trusted=trusted)
    curve = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec.pem").write_bytes(curve.private_bytes(pem, pkcs8, plain))
    (tmp_path / "text.pem").write_text("hello")
    for name in ("ec.pem", "text.pem", "none.pem"):
        with pytest.raises(ArtifactError):
            artifact.write(
                tmp_path / "b", toy.model(), toy.manifest(), sign=tmp_path / name
            )
        with pytest.raises(ArtifactError):
            Artifact.open(folder, trusted=tmp_path / name)
    assert not (tmp_path / "b").exists()
    with pytest.raises(ArtifactError, match="no public key"):
        Artifact.open(folder, trusted=b"short")


def test_without_the_package_only_keys_are_refused(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    Artifact.open(folder)
    with pytest.raises(ArtifactError, match=r"pip install 'tflite_odl\[sign\]'"):
        Artifact.open(folder, trusted=bytes(32))
