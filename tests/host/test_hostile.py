"""Files that are no files, and names that lead elsewhere: refused, at once, by name."""

from __future__ import annotations

import json
import os
import shutil
import zlib

import numpy as np
import pytest

from tests.host import toy
from tflite_odl import contract, files
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ArtifactError, CheckpointError, DataError, RunError
from tflite_odl.exporter import flatbuffer
from tflite_odl.host import checkpoint, embedded, goldens, records
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session

BATCH = {"x": np.ones((4, 3), np.float32), "y": np.int32([0, 1, 0, 1])}


@pytest.fixture
def folder(tmp_path):
    return toy.write(tmp_path / "artifact")


@pytest.mark.parametrize(
    "name", [contract.MODEL_FILE, contract.MANIFEST_FILE, contract.REJECTED_FILE]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_without_waiting(folder, name, kind):
    path = folder / name
    path.unlink(missing_ok=True)
    {
        "pipe": os.mkfifo,
        "device": lambda path: os.symlink("/dev/zero", path),
        "folder": os.mkdir,
    }[kind](path)
    with pytest.raises(ArtifactError, match=f"cannot read .*{name}"):
        Artifact.open(folder)


def test_a_bare_device_and_a_pipe_in_the_manifest_are_refused(folder):
    with pytest.raises(ArtifactError, match="a pipe or a device"):
        Artifact.open("/dev/zero")
    os.mkfifo(folder / "pipe")
    path = folder / contract.MANIFEST_FILE
    content = json.loads(path.read_text())
    content["files"]["pipe"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="a pipe or a device"):
        Artifact.open(folder)


def test_a_checkpoint_or_facts_that_are_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / checkpoint.NEWEST)
    with pytest.raises(CheckpointError, match="a pipe or a device"):
        checkpoint.latest(tmp_path, toy.manifest())
    os.mkfifo(tmp_path / records.FACTS)
    with pytest.raises(DataError, match="a pipe or a device"):
        records.note_facts(tmp_path, {})


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a" * 256, "none", "/proc/x/y"])
def test_names_that_no_file_has(name, tmp_path):
    with pytest.raises(ArtifactError, match="no artifact at"):
        Artifact.open(name)
    for call in ("save_checkpoint", "claim"):
        state = name if name.startswith("/") else tmp_path / name / "state"
        if name == "none":
            continue
        with Session(
            Artifact.open(toy.write(tmp_path / "toy")), checkpoint_dir=state
        ) as s:
            with pytest.raises(CheckpointError, match="cannot write to"):
                getattr(s, call)()


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    artifact = Artifact.open(toy.write(tmp_path / "toy"))
    with Session(artifact, checkpoint_dir=tmp_path / "file") as session:
        with pytest.raises(CheckpointError, match="cannot write to"):
            session.save_checkpoint()
    with pytest.raises(DataError, match="cannot write to"):
        records.note_facts(tmp_path / "file" / "run", {})


def test_larger_files_than_expected_are_not_read(tmp_path):
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ArtifactError, match="1099511627776 bytes, 100 at most"):
        files.read(path, ArtifactError, 100)
    with pytest.raises(ArtifactError, match="at most are read"):
        Artifact.open(path)


def test_a_bomb_in_the_embedded_manifest_is_not_unpacked(tmp_path):
    note = zlib.compress(bytes(embedded.MOST_MANIFEST_BYTES + 1), 9)
    note += bytes(embedded.SEAL_BYTES)
    name = contract.METADATA_NAME.encode()
    model = flatbuffer._sealed(flatbuffer.with_note(toy.model(), name, note))
    assert embedded.is_sealed(model, embedded.place(model)) and len(model) < 2**17
    path = tmp_path / "bomb.tflite"
    path.write_bytes(model)
    with pytest.raises(ArtifactError, match="does not end within"):
        Artifact.open(path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"tensors": {}, "steps": []}, "has no calls"),
        ({"tensors": {}, "steps": [{}]}, "malformed"),
        ([], "malformed"),
        ({"tensors": {"a": {"dtype": "float32", "shape": "3"}}, "steps": [1]}, "shape"),
    ],
)
def test_goldens_that_show_nothing_do_not_pass(folder, index, message):
    place = folder / contract.GOLDENS_FOLDER
    place.mkdir()
    (place / goldens.INDEX_FILE).write_text(json.dumps(index))
    artifact = Artifact.open(folder)
    with RUNTIMES["interpreter"](artifact.model, artifact.manifest) as runtime:
        with pytest.raises(
            (ArtifactError, contract.specs.ContractError), match=message
        ):
            goldens.check(runtime, artifact)


def test_a_state_out_of_its_ranges_is_refused_by_name():
    index = TensorSpec("index", "int32", (2,), "counter", low=0.0, high=20.0)
    rate = TensorSpec("rate", "float32", (1,), "hyperparameter", low=0.0, high=0.1)
    assert index.misfit(np.int32([0, 20])) == ""
    assert rate.misfit(np.float32([0.1])) == "", "0.1 itself, as a float32 has it"
    for spec, value in (
        (index, np.int32([0, 21])),
        (index, np.int32([-1, 0])),
        (rate, np.float32([0.2])),
    ):
        assert "out of its range" in spec.misfit(value)
    assert "not finite" in rate.misfit(np.float32([np.nan]))
    seen = TensorSpec("seen", "bool", (2,))
    assert "no truth values" in seen.misfit(np.uint8([1, 2]).view(bool))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_forged_state_changes_nothing(runtime, tmp_path):
    artifact = Artifact.open(toy.write(tmp_path / "toy"))
    with Session(artifact, runtime, checkpoint_dir=tmp_path / "state") as session:
        good = session.state(include_buffers=True)
        session.save_checkpoint()
        forged = {**good, "kernel": np.full((3, 2), np.nan, np.float32)}
        with pytest.raises(contract.specs.ContractError, match="'kernel' has values"):
            session.load_state(forged)
        made = checkpoint.Checkpoint(forged, 0, 0)
        checkpoint.save(tmp_path / "state", artifact.manifest, made)
        passed = []
        assert session.restore_checkpoint(passed.append) == 0, "the one before"
        assert "'kernel' has values that are not finite" in str(passed[0])
        for name, value in session.state(include_buffers=True).items():
            np.testing.assert_array_equal(value, good[name])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_after_a_failure_of_the_runtime_only_a_new_state_helps(
    runtime, tmp_path, monkeypatch
):
    artifact = Artifact.open(toy.write(tmp_path / "toy"))
    with Session(artifact, runtime, checkpoint_dir=tmp_path / "state") as session:
        session.train(**BATCH)
        session.save_checkpoint()
        kept, present = session.state(), session._runtime

        def fail(signature, inputs):
            raise RuntimeError("gather index out of bounds")

        for recover in (
            session.restore_checkpoint,
            lambda: session.load_state({**kept, "photos": np.zeros(5, np.uint8)}),
            session.reset,
        ):
            present = session._runtime
            monkeypatch.setattr(present, "_run", fail)
            with pytest.raises(RunError, match="failed in 'train': gather index"):
                session.train(**BATCH)
            monkeypatch.undo()
            for call in (
                lambda: session.train(**BATCH),
                lambda: session.infer(BATCH["x"]),
                lambda: session.evaluate(**BATCH),
                session.configure,
                session.state,
                session.save_checkpoint,
            ):
                with pytest.raises(RunError, match="reset this session, or restore"):
                    call()
            recover()
            session.infer(BATCH["x"])
            assert session.step == (0 if recover == session.reset else 1)


def test_a_name_of_ours_as_an_input_is_an_unknown_input(folder):
    with Session(folder) as session:
        for name in ("signature", "self"):
            with pytest.raises(contract.specs.ContractError, match="unknown"):
                session.train(**BATCH, **{name: 1})


def test_the_twins_note_of_any_content_is_stood(build, tmp_path):
    from tflite_odl.host import service

    artifact = Artifact.open(build("finetune-mlp"))
    path = tmp_path / "serve.tflite"
    shutil.copy(artifact.path / contract.SERVING_FILE, path)
    for note in (b"", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"sha256": 1}'):
        path.with_name("serve.tflite.json").write_bytes(note)
        shipped = (artifact.path / contract.SERVING_FILE).read_bytes()
        assert service.in_service(path, artifact) == shipped
