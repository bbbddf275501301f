"""Paths in manifests and goldens stay inside their folder."""

from __future__ import annotations

import json

import pytest

from tests.host import toy
from tests.host.test_goldens import calls
from tflite_odl import contract
from tflite_odl.errors import ArtifactError, ContractError
from tflite_odl.host import goldens, paths
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

OUTSIDE = [
    "../secret",
    "goldens/../../secret",
    "/etc/hostname",
    "C:/secret",
    "C:secret",
    "..\\secret",
    "goldens\\secret",
    "goldens//secret",
    "./secret",
    "goldens/",
    "",
    "a\0b",
    "link/secret",
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "secret").write_bytes(b"secret")
    folder = toy.write(tmp_path / "artifact", calls())
    for place in (folder, folder / contract.GOLDENS_FOLDER):
        (place / "link").symlink_to(tmp_path / "outside")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifests_files_do_not_leave_the_folder(folder, name):
    path = folder / contract.MANIFEST_FILE
    content = json.loads(path.read_text())
    content["files"][name] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="needs a path inside|leads out of"):
        Artifact.open(folder)


@pytest.mark.parametrize("name", OUTSIDE)
def test_goldens_do_not_leave_their_folder(folder, name):
    path = folder / contract.GOLDENS_FOLDER / goldens.INDEX_FILE
    artifact, content = Artifact.open(folder), json.loads(path.read_text())
    content["tensors"][name] = {"dtype": "float32", "shape": [4, 3]}
    content["steps"][0]["inputs"]["x"] = name
    path.write_text(json.dumps(content))
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        with pytest.raises(ArtifactError, match="needs a path inside|leads out of"):
            goldens.check(runtime, artifact)


def test_links_inside_the_folder_are_followed(folder):
    (folder / "same").symlink_to(folder / contract.MODEL_FILE)
    assert paths.inside(folder, "same").read_bytes()[4:8] == b"TFL3"
    (folder / "round").symlink_to(folder / "round")
    with pytest.raises(ArtifactError):
        paths.inside(folder, "round").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("tensors"),
        lambda c: c.update(steps=3),
        lambda c: c["steps"][0].pop("inputs"),
        lambda c: c["steps"][0].update(signature=[]),
        lambda c: c["steps"][0].update(signature="fly"),
        lambda c: c["steps"][0]["inputs"].update(x="none.bin"),
        lambda c: c["steps"][0]["inputs"].update(x=[3]),
        lambda c: c["steps"][0]["outputs"].update(loss=None),
        lambda c: c["steps"][0]["outputs"].update(
            lost=c["steps"][0]["outputs"]["loss"]
        ),
        lambda c: c["steps"][0]["outputs"]["loss"].update(rtol="much"),
        lambda c: c["steps"][0]["outputs"]["loss"].update(rtol=1e999),
        lambda c: c["tensors"].update(a={"dtype": "float32", "shape": [10**20]}),
        lambda c: c["tensors"].update(a={"dtype": "float64", "shape": [1]}),
        lambda c: [about.update(shape=["a"]) for about in c["tensors"].values()],
    ],
)
def test_a_malformed_index_is_refused(folder, change):
    path = folder / contract.GOLDENS_FOLDER / goldens.INDEX_FILE
    artifact, content = Artifact.open(folder), json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        with pytest.raises((ArtifactError, ContractError)):
            goldens.check(runtime, artifact)
