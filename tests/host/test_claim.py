"""One process at a time writes to a folder; who died does not hold it."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.host import toy
from tflite_odl import files
from tflite_odl.errors import BusyError, CheckpointError
from tflite_odl.host import checkpoint, loop
from tflite_odl.host.claim import LOCK_FILE, Claim
from tflite_odl.host.session import Session

HOLD = textwrap.dedent(
    """
    import pathlib, sys, time
    from tflite_odl.host.claim import Claim
    claim = Claim(pathlib.Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(600)
    """
)


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_process_is_told_who_holds_the_folder(tmp_path, holder):
    with pytest.raises(BusyError, match=f"in use by process {holder.pid} on "):
        Claim(tmp_path)


def test_a_lock_of_a_killed_process_is_seen_through(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert str(holder.pid) in (tmp_path / LOCK_FILE).read_text()
    Claim(tmp_path).release()
    Claim(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 4000])
def test_the_lock_files_content_does_not_matter(tmp_path, content):
    claim = Claim(tmp_path)
    (tmp_path / LOCK_FILE).write_bytes(content)
    with pytest.raises(BusyError, match="in use by another process"):
        Claim(tmp_path)
    claim.release()


def test_sessions_on_one_folder_write_one_after_the_other(tmp_path):
    artifact, state = toy.write(tmp_path / "toy"), tmp_path / "state"
    with Session(artifact, checkpoint_dir=state) as first:
        first.save_checkpoint()
        with Session(artifact, checkpoint_dir=state) as second:
            assert second.restore_checkpoint() == 0, "reading needs no lock"
            with pytest.raises(BusyError, match=f"process {os.getpid()} on"):
                second.save_checkpoint()
            with pytest.raises(BusyError):
                loop.run(second, lambda start: iter([]), 1, state)
    with Session(artifact, checkpoint_dir=state) as third:
        third.save_checkpoint()


def test_what_dead_processes_left_half_written_is_removed(tmp_path, holder):
    names = [f".{pid}-abc{files.WRITING}" for pid in (holder.pid, os.getpid())]
    for name in (*names, "mine.writing", ".x-y.writing"):
        (tmp_path / name).touch()
    holder.kill()
    holder.wait()
    Claim(tmp_path).release()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {LOCK_FILE, names[1], "mine.writing", ".x-y.writing"}


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write(path, b"old", CheckpointError)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot write .*file: No space left"):
        files.write(path, b"new", CheckpointError)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("place", [checkpoint.NEWEST, checkpoint.BEFORE])
def test_another_artifacts_checkpoint_is_never_overwritten(tmp_path, place):
    """Neither as the newest one nor as the one before, however often we save."""
    artifact, state = toy.write(tmp_path / "toy"), tmp_path / "state"
    other = toy.manifest()
    object.__setattr__(other, "artifact_id", "another")
    with Session(artifact) as session:
        now = checkpoint.Checkpoint(session.state(include_buffers=True), 0, 0)
    checkpoint.save(state, other, now)
    (state / checkpoint.NEWEST).rename(state / place)
    content = (state / place).read_bytes()
    with Session(artifact, checkpoint_dir=state) as session:
        for _ in range(3):
            with pytest.raises(CheckpointError, match="belongs to artifact another"):
                session.save_checkpoint()
    assert (state / place).read_bytes() == content
    # A damaged one of whoever it was is nobody's.
    damaged = bytearray(content)
    damaged[-1] ^= 1
    (state / place).write_bytes(damaged)
    with Session(artifact, checkpoint_dir=state) as session:
        for _ in range(3):
            session.save_checkpoint()
    assert np.all(
        [(state / n).exists() for n in (checkpoint.NEWEST, checkpoint.BEFORE)]
    )


def test_the_folder_may_go_in_mid_run(tmp_path):
    import shutil

    artifact, state = toy.write(tmp_path / "toy"), tmp_path / "state"
    with Session(artifact, checkpoint_dir=state) as session:
        session.save_checkpoint()
        shutil.rmtree(state)
        assert session.save_checkpoint() == pathlib.Path(state / checkpoint.NEWEST)
        assert session.restore_checkpoint() == 0
