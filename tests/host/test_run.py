"""A killed run, resumed by another process, ends like one that never stopped."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.nets import BATCH
from tflite_odl.errors import ArtifactError, CheckpointError, ContractError, DataError
from tflite_odl.host import loop
from tflite_odl.host import records as loop_records
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session

# Noise, Adam and clipping: the random generator's state and the slots matter.
NAME = "finetune-adam-clip-noise"
WORKER = """
import importlib, sys, time
from tflite_odl.host import loop
from tflite_odl.host.session import Session
artifact, folder, steps, pause, module = sys.argv[1:]
batches = importlib.import_module(module).batches
with Session(artifact, checkpoint_dir=folder) as session:
    session.restore_checkpoint()
    loop.run(session, batches, int(steps), folder, checkpoint_every=3,
             on_step=lambda r: time.sleep(float(pause)))
"""


def batches(start: int):
    while True:
        rng = np.random.default_rng(start)
        x = rng.normal(size=(BATCH, 6, 6, 2)).astype(np.float32)
        yield x, rng.integers(0, 3, BATCH).astype(np.int32)
        start += 1


def worker(artifact, folder, steps, pause=0.0, module=__name__) -> subprocess.Popen:
    """Starts a process that trains on the `batches` of a module."""
    given = (artifact, folder, str(steps), str(pause), module)
    command = [sys.executable, "-c", WORKER, *given]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})


def records(folder) -> list[dict]:
    lines = (folder / loop.RECORDS).read_text().splitlines()
    timed = ("ms", "crc")
    return [{k: v for k, v in json.loads(r).items() if k not in timed} for r in lines]


def test_killed_and_resumed_equals_never_stopped(build, tmp_path):
    artifact, whole, parts = build(NAME), tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert worker(artifact, whole, 10).wait() == 0
    killed = worker(artifact, parts, 10, pause=0.2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (parts / loop.RECORDS).exists() and len(records(parts)) >= 5:
            break
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert worker(artifact, parts, 10).wait() == 0
    assert records(whole) == records(parts) and len(records(whole)) == 10
    states = []
    for folder in (whole, parts):
        with Session(artifact, checkpoint_dir=folder) as session:
            assert session.restore_checkpoint() == 10
            states.append(session.state(include_buffers=True))
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_stop_keeps_the_state_and_the_total_stays_the_total(build, tmp_path):
    with Session(build(NAME), checkpoint_dir=tmp_path) as session:
        summary = loop.run(session, batches, 8, tmp_path, stop=lambda: True)
        assert summary.interrupted and summary.batches == 1
        summary = loop.run(session, batches, 8, tmp_path)
        assert not summary.interrupted and summary.batches == summary.steps == 8
    assert [record["batch"] for record in records(tmp_path)] == list(range(1, 9))


def test_rejected_batches_advance_the_stream_but_not_the_step(build, tmp_path):
    def some_bad(start: int):
        for number, (x, y) in enumerate(batches(start), start):
            yield x, np.full_like(y, 9) if number == 1 else y

    with Session(build(NAME), checkpoint_dir=tmp_path) as session:
        summary = loop.run(session, some_bad, 3, tmp_path)
        assert (summary.batches, summary.steps, summary.rejected_rows) == (3, 2, BATCH)
        session.reset()
        assert session.restore_checkpoint() == 2 and session.position == 3


def test_session_needs_a_folder_for_checkpoints(build):
    with Session(build(NAME)) as session:
        with pytest.raises(CheckpointError, match="checkpoint_dir"):
            session.save_checkpoint()
    with pytest.raises(ContractError, match="runtime 'phone' is not one of"):
        Session(build(NAME), runtime="phone")


def test_altered_and_missing_files_are_named(build, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(build(NAME), folder)
    golden = next((folder / "goldens").glob("*.bin"))
    content = bytearray(golden.read_bytes())
    content[0] ^= 1
    golden.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{golden.name} was altered"):
        Session(folder)
    golden.unlink()
    with pytest.raises(ArtifactError, match=f"cannot read .*{golden.name}"):
        Session(folder)
    with pytest.raises(ArtifactError, match="no artifact at"):
        Session(tmp_path / "none")
    model = (folder / "model.tflite").read_bytes()
    for name, bytes_ in (("cut", model[: len(model) // 2]), ("text", b"hello" * 9)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(bytes_)
        with pytest.raises(ArtifactError, match=str(path)):
            Artifact.open(path)


def test_newer_contract_is_refused(build, tmp_path):
    import shutil

    folder = tmp_path / "newer"
    shutil.copytree(build(NAME), folder)
    path = folder / "manifest.json"
    path.write_text(
        path.read_text().replace('"contract_version": 2', '"contract_version": 3')
    )
    with pytest.raises(ContractError, match="follows contract 3.*update"):
        Session(folder)


def test_state_leaves_out_private_buffers(build, monkeypatch):
    import dataclasses

    with Session(build(NAME)) as session:
        manifest = session.manifest
        private = dataclasses.replace(manifest.state[0], role="buffer")
        state = (private, *manifest.state[1:])
        session.manifest = dataclasses.replace(manifest, state=state)
        assert private.name not in session.state()
        assert private.name in session.state(include_buffers=True)


def test_a_run_goes_on_only_with_what_it_began_with(tmp_path):
    began = {"model": "a", "seed": 0, "settings": {"learning_rate": 0.1}}
    loop_records.note_facts(tmp_path, began)
    loop_records.note_facts(tmp_path, dict(began))
    with pytest.raises(DataError, match="holds a run with {'seed': 0}, got {'seed': 1"):
        loop_records.note_facts(tmp_path, {**began, "seed": 1})


def test_a_run_of_an_older_version_goes_on_with_what_that_went_by(tmp_path):
    """Its facts do not name the stream: there was one order only."""
    loop_records.note_facts(tmp_path, {"seed": 0})
    unsaid = {"stream": "shuffled"}
    now = {"seed": 0, "stream": "shuffled"}
    with pytest.raises(DataError, match="'stream': None"):
        loop_records.note_facts(tmp_path, now)
    loop_records.note_facts(tmp_path, now, unsaid=unsaid)
    with pytest.raises(DataError, match="with {'stream': 'shuffled'}, got {'stream': "):
        loop_records.note_facts(tmp_path, {**now, "stream": "tracks"}, unsaid=unsaid)


def test_a_stream_that_ends_early_saves_the_state_and_says_so(build, tmp_path):
    def short(start: int):
        yield from itertools.islice(batches(start), 2 - start)

    with Session(build(NAME), checkpoint_dir=tmp_path) as session:
        with pytest.raises(DataError, match="ended after 2 of 5"):
            loop.run(session, short, 5, tmp_path)
        session.reset()
        assert session.restore_checkpoint() == 2


def test_a_line_cut_by_a_kill_is_redone(build, tmp_path):
    with Session(build(NAME), checkpoint_dir=tmp_path) as session:
        loop.run(session, batches, 2, tmp_path)
        with open(tmp_path / loop.RECORDS, "a") as file:
            file.write('{"batch": 3, "lo')
        loop.run(session, batches, 4, tmp_path)
    assert [record["batch"] for record in records(tmp_path)] == [1, 2, 3, 4]


def test_hidden_labels_are_as_many_and_the_same_in_each_run():
    y = np.arange(2000, dtype=np.uint8) % 3
    hide = loop.hidden(0.25, seed=3)
    found = hide(7, y)
    assert found.dtype == np.int32 and (y < 3).all()
    # 4.5 standard deviations of a binomial.
    assert abs((found == -1).mean() - 0.25) < 4.5 * np.sqrt(0.25 * 0.75 / 2000)
    np.testing.assert_array_equal(found[found >= 0], y[found >= 0])
    np.testing.assert_array_equal(found, loop.hidden(0.25, seed=3)(7, y))
    assert (found != hide(8, y)).any() and (loop.hidden(1.0, 0)(0, y) == -1).all()
    assert np.isnan(loop.hidden(1.0, 0)(0, np.ones((4, 2), np.float32))).all()
    with pytest.raises(ContractError, match="fraction from 0 to 1, got 2"):
        loop.hidden(2, 0)


def test_a_run_is_tested_with_labels_that_training_does_not_see(build, tmp_path):
    with Session(build(NAME), checkpoint_dir=tmp_path) as session:
        summary = loop.run(session, batches, 3, tmp_path, hide=loop.hidden(1.0, seed=0))
        assert session.step == 0  # nothing to learn from
    assert summary.accuracy is not None
