"""Files that contract 1 wrote, kept in version1/: what still opens, and what is said.

They were made by the last package that wrote contract 1, from the toy: an artifact with
goldens, its checkpoint after two steps, and a recording with its unpacked stream.
"""

from __future__ import annotations

import math
import pathlib
import shutil

import numpy as np
import pytest

from tflite_odl import contract, streams
from tflite_odl.errors import ArtifactError, CheckpointError, DataError
from tflite_odl.host import checkpoint, goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.streams import packed

FILES = pathlib.Path(__file__).parent / "version1"
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.int32([0, 1, 0, 1])


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_folder_opens_with_a_note_and_works(kind):
    artifact = Artifact.open(FILES / "artifact")
    (note,) = artifact.notes
    assert "follows contract 1" in note and "tools/convert.py --method=toy" in note
    with RUNTIMES[kind](artifact.model, artifact.manifest) as runtime:
        assert all(result.passed for result in goldens.check(runtime, artifact))
    with Session(artifact, kind) as session:
        assert session.train(x=X[:3], y=Y[:3])["step"][0] == 1
        found = session.evaluate(X, Y)
    assert found["count"] == 4 and found["accuracy"] == found["correct"] / 4


def test_names_get_the_roles_they_stood_for():
    manifest = Artifact.open(FILES / "artifact").manifest
    train = manifest.signature(contract.TRAIN)
    assert [spec.role for spec in train.inputs] == ["feature", "label", "count"]
    assert [spec.fill for spec in train.inputs] == [None, -1, None]
    assert manifest.signature(contract.INFER).inputs_of("feature") == ("x",)
    totals = {s.name: s.total for s in manifest.signature(contract.EVALUATE).outputs}
    assert totals == {"loss": "mean", "correct": "sum", "count": "sum"}
    weighted = contract.version1.with_roles(
        {
            "train": contract.Signature(
                "train",
                tuple(contract.TensorSpec(n, "float32", (2,)) for n in ("y", "weight")),
                (),
            )
        }
    )
    label, weight = weighted["train"].inputs
    assert math.isnan(label.fill)
    assert (weight.role, weight.fill) == ("row_weight", 1)


def test_a_bare_file_is_refused_with_the_command_that_exports_again():
    with pytest.raises(ArtifactError, match=r"contract 1.*tools/convert\.py --method"):
        Session(FILES / "artifact" / contract.MODEL_FILE)


def test_a_checkpoint_is_read_by_its_old_rule_and_saved_by_the_new(tmp_path):
    shutil.copytree(FILES / "state", tmp_path / "state")
    with Session(FILES / "artifact", checkpoint_dir=tmp_path / "state") as session:
        assert session.restore_checkpoint() == 2 and session.position == 2
        np.testing.assert_array_equal(
            session.state(include_buffers=True)["photos"], np.arange(5)
        )
        # Two steps from the shipped kernel, as the writing session printed it.
        np.testing.assert_array_equal(
            session.state()["kernel"][0], np.float32([-0.22510888, 0.32510889])
        )
        session.train(x=X, y=Y)
        newest = session.save_checkpoint()
        assert b'"contract_version":"2"' in newest.read_bytes()
        session.reset()
        assert session.restore_checkpoint() == 3
        newest.unlink()
        assert session.restore_checkpoint() == 2  # the old one was kept beside it


def test_an_altered_checkpoint_is_found_by_the_old_rule_too(tmp_path):
    content = bytearray((FILES / "state" / checkpoint.NEWEST).read_bytes())
    content[-3] ^= 1
    (tmp_path / checkpoint.NEWEST).write_bytes(content)
    manifest = Artifact.open(FILES / "artifact").manifest
    with pytest.raises(CheckpointError, match="was altered"):
        checkpoint.load(tmp_path / checkpoint.NEWEST, manifest)


def test_a_stream_cache_without_a_checksum_is_rebuilt(tmp_path):
    data, cache = f"npz:{FILES / 'rows.npz'}", tmp_path / "cache"
    streams.open(data, cache)
    # The old file under the name that the cache has for it today.
    (file,), (old,) = cache.iterdir(), (FILES / "cache").iterdir()
    shutil.copy(old, file)
    with pytest.raises(DataError, match="has no checksum"):
        packed.read(file)
    dataset = streams.open(data, cache)
    assert dataset.train.x.ravel().tolist() == list(range(24))
    assert [path.name for path in cache.iterdir()] == [file.name]
    packed.read(file)
