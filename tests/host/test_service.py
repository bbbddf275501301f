"""A baked twin goes into service only if it is whole, its own, and no worse."""

import errno
import json
import os

import numpy as np
import pytest

from tests import nets
from tflite_odl import contract
from tflite_odl.errors import ArtifactError, CheckpointError, ContractError
from tflite_odl.host import bake, service
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session


@pytest.fixture(scope="module")
def trained(build):
    """(artifact, state that fits the rows, rows, labels)"""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = x[:, :3].argmax(1).astype(np.int32)
    with Session(build("finetune-mlp")) as session:
        for _ in range(30):
            for at in range(0, 60, nets.BATCH):
                session.train(x=x[at : at + nets.BATCH], y=y[at : at + nets.BATCH])
        return session.artifact, session.state(), {"x": x}, y


def test_the_score_is_that_of_the_session(trained):
    artifact, state, x, y = trained
    found = service.score(bake.bake(artifact, state), artifact.manifest, x, y)
    with Session(artifact) as session:
        session.load_state(state)
        expected = session.evaluate(y=y, **x)["accuracy"]
    assert found == pytest.approx(expected, abs=1e-9) and found > 0.9
    unlabelled = np.where(np.arange(60) < 30, y, contract.UNLABELLED)
    half = service.score(bake.bake(artifact, state), artifact.manifest, x, unlabelled)
    assert half * 30 == pytest.approx(round(half * 30), abs=1e-9)
    # 59 rows of two a call: the last call is filled up.
    less = {"x": x["x"][:59]}
    right = service.score(bake.bake(artifact, state), artifact.manifest, less, y[:59])
    assert right * 59 == pytest.approx(round(right * 59), abs=1e-9)


def test_a_better_twin_replaces_the_one_in_service_a_worse_one_does_not(
    trained, tmp_path
):
    artifact, state, x, y = trained
    path = tmp_path / "serve.tflite"
    first = service.serve(path, artifact, state, (x, y))
    assert first.taken and first.score > first.before + 0.2
    kept = path.read_bytes()
    assert service.in_service(path, artifact) == kept == bake.bake(artifact, state)
    with Session(artifact) as session:
        fresh = session.state()
    second = service.serve(path, artifact, fresh, (x, y))
    assert not second.taken and "stays" in second.reason
    assert path.read_bytes() == kept
    assert service.serve(path, artifact, fresh, (x, y), max_drop=1.0).taken
    assert path.read_bytes() == bake.shipped(artifact)


def test_without_rows_nothing_is_compared(trained, tmp_path):
    artifact, state, _, _ = trained
    decision = service.serve(tmp_path / "serve.tflite", artifact, state)
    assert decision.taken and decision.score is decision.before is None
    note = json.loads((tmp_path / "serve.tflite.json").read_bytes())
    assert note["artifact_id"] == artifact.manifest.artifact_id


@pytest.mark.parametrize("harm", ["cut", "foreign", "no note"])
def test_a_twin_in_service_that_is_not_whole_or_not_ours_counts_as_none(
    trained, tmp_path, harm
):
    artifact, state, _, _ = trained
    path = tmp_path / "serve.tflite"
    service.serve(path, artifact, state)
    note = tmp_path / "serve.tflite.json"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif harm == "foreign":
        note.write_text(json.dumps({**json.loads(note.read_text()), "artifact_id": ""}))
    else:
        note.unlink()
    assert service.in_service(path, artifact) == bake.shipped(artifact)


def test_a_failed_bake_or_write_leaves_the_twin_in_service(
    trained, tmp_path, monkeypatch
):
    artifact, state, x, y = trained
    path = tmp_path / "serve.tflite"
    service.serve(path, artifact, state)
    kept = path.read_bytes()
    with pytest.raises(CheckpointError):
        service.serve(path, artifact, {})
    with pytest.raises(ContractError, match="held-out"):
        service.serve(path, artifact, state, (x, y[:-1]))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="cannot write"):
        service.serve(path, artifact, state)
    assert path.read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "serve.tflite",
        "serve.tflite.json",
    ]


def test_the_artifacts_folder_never_changes(trained):
    artifact, state, _, _ = trained
    with pytest.raises(ArtifactError, match="never changes"):
        service.serve(artifact.path / contract.SERVING_FILE, artifact, state)
    Artifact.open(artifact.path)
