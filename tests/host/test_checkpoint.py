"""Checkpoints that are cut, altered, foreign or too new are refused, by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tflite_odl import contract
from tflite_odl.contract import Signature, TensorSpec
from tflite_odl.errors import CheckpointError
from tflite_odl.host import checkpoint
from tflite_odl.host.checkpoint import Checkpoint

STATE = (
    TensorSpec("w", "float32", (2, 3), "weight"),
    TensorSpec("seen", "uint8", (4,), "buffer"),
    TensorSpec("step", "int32", (1,), "counter"),
)
MANIFEST = contract.Manifest(
    "abc",
    {"name": "m", "config": {}},
    {"save": Signature("save", (TensorSpec("unused", "float32", (1,)),), STATE)},
    STATE,
)


def state(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    arrays = {s.name: rng.integers(0, 9, s.shape).astype(s.dtype) for s in STATE}
    return Checkpoint({**arrays, "step": np.int32([step])}, step, step + 1)


@pytest.fixture
def folder(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, MANIFEST, state(step))
    return tmp_path


def test_newest_is_used_and_the_one_before_kept(folder):
    assert checkpoint.latest(folder, MANIFEST).step == 2
    before = checkpoint.load(folder / checkpoint.BEFORE, MANIFEST)
    assert (before.step, before.position) == (1, 2)
    for name, value in state(1).state.items():
        np.testing.assert_array_equal(before.state[name], value)
    assert len(list(folder.iterdir())) == 2
    assert checkpoint.latest(folder / "empty", MANIFEST) is None


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def damage_header(path):
    path.write_bytes(path.read_bytes().replace(b'"step":"2"', b'"step":"3"', 1))


def damage_empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_flip, damage_header, damage_empty]
)
def test_damaged_file_is_passed_over_with_a_reason(folder, damage):
    damage(folder / checkpoint.NEWEST)
    refused = []
    assert checkpoint.latest(folder, MANIFEST, refused.append).step == 1
    assert len(refused) == 1 and checkpoint.NEWEST in str(refused[0])


@pytest.mark.parametrize("bit", range(8))
def test_every_single_flipped_bit_is_found(folder, bit):
    path = folder / checkpoint.NEWEST
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytes([content[place] ^ (1 << bit)])
        path.write_bytes(content[:place] + flipped + content[place + 1 :])
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path, MANIFEST)
        # Damage is never taken for another artifact's file: saving goes on.
        assert not isinstance(caught.value, checkpoint.ForeignCheckpoint)


def test_damaged_newest_does_not_push_out_the_good_one(folder):
    damage_flip(folder / checkpoint.NEWEST)
    checkpoint.save(folder, MANIFEST, state(3))
    assert checkpoint.load(folder / checkpoint.NEWEST, MANIFEST).step == 3
    assert checkpoint.load(folder / checkpoint.BEFORE, MANIFEST).step == 1


def test_killed_between_the_renames_leaves_the_one_before(folder, monkeypatch):
    rename = checkpoint.os.replace

    def killed(source, target):
        if str(source).endswith(".writing"):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(folder, MANIFEST, state(3))
    assert checkpoint.latest(folder, MANIFEST).step == 2


def test_another_artifacts_checkpoint_is_not_overwritten(folder):
    foreign = dataclasses.replace(MANIFEST, artifact_id="other")
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match="belongs to artifact abc, this is other"):
        checkpoint.save(folder, foreign, state(3))
    assert content == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_foreign_and_newer_checkpoints_are_refused(folder, monkeypatch):
    foreign = dataclasses.replace(MANIFEST, artifact_id="other")
    with pytest.raises(CheckpointError, match="belongs to artifact abc, this is other"):
        checkpoint.latest(folder, foreign)
    monkeypatch.setattr(contract, "VERSION", 3)
    checkpoint.save(folder, MANIFEST, state(3))
    monkeypatch.setattr(contract, "VERSION", 2)
    with pytest.raises(CheckpointError, match="follows contract 3.*update"):
        checkpoint.load(folder / checkpoint.NEWEST, MANIFEST)


def test_other_shapes_are_refused(folder):
    changed = (TensorSpec("w", "float32", (3, 2), "weight"), *STATE[1:])
    with pytest.raises(CheckpointError, match="does not fit the state"):
        checkpoint.latest(
            folder, dataclasses.replace(MANIFEST, signatures={}, state=changed)
        )
