"""What an artifact's folder or bare file must be before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from tests.host import toy
from tflite_odl import contract
from tflite_odl.errors import ArtifactError, ContractError
from tflite_odl.exporter import artifact as exported
from tflite_odl.exporter import flatbuffer
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session


@pytest.fixture
def folder(tmp_path):
    return toy.write(tmp_path / "artifact")


def change_manifest(folder, change) -> None:
    path = folder / contract.MANIFEST_FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_bare_file_describes_itself(folder):
    bare = Artifact.open(folder / contract.MODEL_FILE)
    bare.verify()
    beside = Artifact.open(folder).manifest
    assert set(beside.files) == {contract.MODEL_FILE}
    assert bare.manifest == dataclasses.replace(beside, files={}, delivery={})


def test_bare_file_of_a_newer_contract_is_not_called_damaged(tmp_path):
    newer = dataclasses.replace(toy.manifest(), contract_version=contract.VERSION + 1)
    path = tmp_path / "newer.tflite"
    path.write_bytes(flatbuffer.embed(toy.model(), newer.to_json()))
    with pytest.raises(ContractError, match="follows contract 3.*update"):
        Artifact.open(path)


def test_model_without_a_manifest_is_named(tmp_path):
    path = tmp_path / "plain.tflite"
    path.write_bytes(toy.model())
    with pytest.raises(ArtifactError, match=f"{re.escape(str(path))}: holds no manif"):
        Artifact.open(path)


def buffer_becomes_weight(content):
    next(s for s in content["state"] if s["role"] == "buffer")["role"] = "weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Else the user's raw data would be exported as a weight.
        (buffer_becomes_weight, "manifest.json was altered"),
        (lambda c: c.update(files={}), "has no hash of model.tflite"),
        (lambda c: c.update(files=3), "files is no dict"),
        (lambda c: c.update(state=3), "manifest is incomplete"),
        (lambda c: c.pop("signatures"), "manifest is incomplete"),
    ],
)
def test_altered_manifest_is_refused(folder, change, message):
    change_manifest(folder, change)
    with pytest.raises(ArtifactError, match=message):
        Artifact.open(folder)


def test_flipped_model_is_refused(folder):
    path = folder / contract.MODEL_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="model.tflite was altered"):
        Artifact.open(folder)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bare_model_cut_anywhere_never_becomes_a_session(folder, tmp_path, runtime):
    model = (folder / contract.MODEL_FILE).read_bytes()
    path = tmp_path / "cut.tflite"
    for length in [*range(40), *range(40, len(model), 499), len(model) - 1]:
        path.write_bytes(model[:length])
        with pytest.raises(ArtifactError):
            Session(path, runtime)


def test_rejected_folder_says_why(tmp_path):
    folder = exported.write(
        tmp_path / "bad", toy.model(), toy.manifest(), rejected="relu was dropped"
    )
    with pytest.raises(ArtifactError, match="was rejected .*: relu was dropped"):
        Artifact.open(folder)
