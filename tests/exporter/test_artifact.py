"""An artifact is written whole or not at all, and says what it is."""

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import threading

import numpy as np
import pytest

from tests.exporter import tiny_trainer
from tflite_odl import contract
from tflite_odl.contract import Manifest, Signature, TensorSpec
from tflite_odl.errors import ArtifactError
from tflite_odl.exporter import artifact
from tflite_odl.exporter.artifact import Call, Expected, Goldens, write
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.exchange import exchange
from tflite_odl.host import embedded

ONE = np.array([1], np.int32)


@pytest.fixture(scope="module")
def model() -> bytes:
    return compact(tiny_trainer.model())


@pytest.fixture(scope="module")
def manifest(model) -> Manifest:
    kernel = TensorSpec("kernel", "float32", (8, 3), role="weight")
    unused = TensorSpec("unused", "int32", (1,))
    return Manifest(
        artifact_id=artifact.artifact_id(model),
        method={"name": "tiny", "config": {}},
        signatures={"save": Signature("save", (unused,), (kernel,))},
        state=(kernel,),
    )


@pytest.fixture(scope="module")
def goldens() -> Goldens:
    loss = Expected(np.array([0.5], np.float32), 1e-5, 0.0, "sums in another order")
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    call = Call("train", {"x": x, "y": np.arange(4, dtype=np.int32)}, {"loss": loss})
    return Goldens((call, call, Call("save", {"unused": ONE}, {"step": Expected(ONE)})))


def test_every_file_is_hashed_and_the_manifest_is_in_the_model(
    tmp_path, model, manifest, goldens
):
    folder = write(tmp_path / "deep" / "artifact", model, manifest, goldens)
    shown = Manifest.from_json((folder / contract.MANIFEST_FILE).read_bytes())
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert set(shown.files) == names - {contract.MANIFEST_FILE}
    for name, digest in shown.files.items():
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    inside = embedded.manifest((folder / contract.MODEL_FILE).read_bytes())
    assert inside == manifest
    assert dataclasses.replace(shown, files={}) == manifest


def test_goldens_are_raw_and_equal_tensors_share_a_file(
    tmp_path, model, manifest, goldens
):
    folder = write(tmp_path / "a", model, manifest, goldens) / contract.GOLDENS_FOLDER
    index = json.loads((folder / "index.json").read_text())
    assert [step["signature"] for step in index["steps"]] == ["train", "train", "save"]
    assert index["steps"][0] == index["steps"][1]
    assert len(index["tensors"]) == 4, "x, y, loss, and the [1] of save"
    file = index["steps"][0]["inputs"]["x"]
    about = index["tensors"][file]
    got = np.frombuffer((folder / file).read_bytes(), np.dtype("<f4"))
    assert about == {"dtype": "float32", "shape": [4, 8]}
    np.testing.assert_array_equal(got.reshape(about["shape"])[1], np.arange(8, 16))
    assert index["steps"][0]["outputs"]["loss"] == {
        "file": "00_train_out_loss.bin",
        "rtol": 1e-5,
        "atol": 0.0,
        "reason": "sums in another order",
    }


def test_big_endian_goldens_are_turned():
    big = np.array([1, 2], ">i4")
    files = Goldens((Call("save", {"unused": big}, {}),)).files()
    assert files["00_save_in_unused.bin"] == b"\1\0\0\0\2\0\0\0"
    assert json.loads(files["index.json"])["tensors"] == {
        "00_save_in_unused.bin": {"dtype": "int32", "shape": [2]}
    }


def test_replaces_an_older_artifact_and_leaves_nothing_behind(
    tmp_path, model, manifest, goldens
):
    write(tmp_path / "a", model, manifest, goldens)
    newer = dataclasses.replace(manifest, classes=("cat", "dog", "bird"))
    folder = write(tmp_path / "a", model, newer)
    shown = Manifest.from_json((folder / contract.MANIFEST_FILE).read_bytes())
    assert shown.classes == newer.classes
    assert not (folder / contract.GOLDENS_FOLDER).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("older", [False, True])
def test_failure_while_writing_changes_nothing(
    tmp_path, model, manifest, goldens, monkeypatch, older
):
    if older:
        write(tmp_path / "a", model, manifest)
    before = _snapshot(tmp_path)
    real = artifact._write_synced

    def full_disk(path, content):
        if path.name == contract.MANIFEST_FILE:
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(artifact, "_write_synced", full_disk)
    with pytest.raises(ArtifactError, match="cannot write .*No space left"):
        write(tmp_path / "a", model, manifest, goldens)
    assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSYS])
def test_where_names_cannot_be_exchanged_both_artifacts_are_there(
    tmp_path, model, manifest, goldens, monkeypatch, code
):
    folder = write(tmp_path / "a", model, manifest)
    before = _snapshot(folder)

    def refuse(one, other):
        if code == errno.EIO:
            raise OSError(code, "Input/output error")
        return False

    monkeypatch.setattr(artifact, "exchange", refuse)
    with pytest.raises(ArtifactError) as caught:
        write(folder, model, manifest, goldens)
    assert _snapshot(folder) == before
    others = [path for path in tmp_path.iterdir() if path != folder]
    if code == errno.EIO:
        assert "Input/output" in str(caught.value) and not others
    else:
        (kept,) = others
        assert str(kept) in str(caught.value)
        assert len(_snapshot(kept)) == len(before) + len(goldens.files())


def test_the_name_is_never_without_an_artifact(tmp_path, model, manifest):
    """Who looks at any moment finds a whole one: names are exchanged, not renamed."""
    folder, stop, bad = write(tmp_path / "a", model, manifest), threading.Event(), []

    def look():
        while not stop.is_set():
            try:
                Manifest.from_json((folder / contract.MANIFEST_FILE).read_bytes())
            except (OSError, ArtifactError) as error:
                bad.append(error)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(40):
        write(folder, model, dataclasses.replace(manifest, classes=(str(number),)))
    stop.set()
    watcher.join()
    assert not bad


def test_exchange_swaps_two_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / n / "file").read_text() for n in "ab"] == ["b", "a"]
    with pytest.raises(OSError, match="No such file"):
        exchange(tmp_path / "a", tmp_path / "none")


def test_what_a_killed_export_left_is_removed(tmp_path, model, manifest):
    process = subprocess.Popen(["true"])
    process.wait()
    for pid in (process.pid, os.getpid()):
        (tmp_path / f".odl-{pid}-abc.artifact" / "goldens").mkdir(parents=True)
    write(tmp_path / "a", model, manifest)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a", f".odl-{os.getpid()}-abc.artifact"}


@pytest.mark.parametrize("name", ["file/a", "a" * 256, "a\0b", "a\ud800b", "/proc/a"])
def test_names_that_no_folder_can_have(tmp_path, model, manifest, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write "):
        write(tmp_path / name, model, manifest)


def test_foreign_folder_is_not_overwritten(tmp_path, model, manifest):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(ArtifactError, match=r"chapter1\.tex"):
        write(tmp_path / "thesis", model, manifest)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "..."


def test_file_in_the_way_is_refused(tmp_path, model, manifest):
    (tmp_path / "a").write_text("...")
    with pytest.raises(ArtifactError, match="not a folder"):
        write(tmp_path / "a", model, manifest)


def test_empty_folder_is_used(tmp_path, model, manifest):
    (tmp_path / "a").mkdir()
    assert (write(tmp_path / "a", model, manifest) / contract.MODEL_FILE).exists()


def test_rejected_artifact_is_marked(tmp_path, model, manifest):
    folder = write(tmp_path / "a", model, manifest, rejected="loss differs by 3 %")
    mark = folder / contract.REJECTED_FILE
    assert mark.read_text() == "loss differs by 3 %\n"
    shown = Manifest.from_json((folder / contract.MANIFEST_FILE).read_bytes())
    assert contract.REJECTED_FILE in shown.files


def test_manifest_of_another_model_is_refused(tmp_path, model, manifest):
    other = dataclasses.replace(manifest, artifact_id="0" * 64)
    with pytest.raises(ArtifactError, match="'000000000000'"):
        write(tmp_path / "a", model, other)
    assert not any(tmp_path.iterdir())


def _snapshot(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
