"""Records follow the checkpoint: damage is found, said, and never counted."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tests.host import toy
from tflite_odl.errors import DataError
from tflite_odl.host import journal, loop
from tflite_odl.host.records import RECORDS, summarize
from tflite_odl.host.session import Session


def record(batch: int) -> dict:
    about = {
        "loss": 1 / batch,
        "rejected_rows": 1,
        "correct": batch,
        "count": 2 * batch,
    }
    return {"batch": batch, **about, "ms": 1.0}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / RECORDS
    with journal.Journal(path) as log:
        for batch in range(1, 101):
            log.append(record(batch))
        log.sync()
    return path


def test_records_come_back_as_they_were(path):
    assert list(journal.read(path)) == [record(batch) for batch in range(1, 101)]
    for line in path.read_bytes().splitlines(True):
        assert json.loads(line)["crc"] and journal.parse(line)


def test_a_whole_file_is_not_touched(path):
    before, notes = path.stat(), []
    journal.keep(path, 100, notes.append)
    assert path.stat() == before and not notes


def test_batches_after_the_checkpoint_are_cut_without_a_word(path):
    notes = []
    journal.keep(path, 70, notes.append)
    assert list(journal.read(path)) == [record(batch) for batch in range(1, 71)]
    assert not notes


def test_a_cut_end_is_noted(path):
    path.write_bytes(path.read_bytes()[:-5])
    notes = []
    journal.keep(path, 90, notes.append)
    assert len(list(journal.read(path))) == 90 and "a damaged end was cut" in notes[0]
    assert [p.name for p in path.parent.iterdir()] == [RECORDS]


def test_lost_records_are_counted_and_the_damaged_file_is_kept(path):
    lines = path.read_bytes().splitlines(True)
    lines[10] = lines[10].replace(b'"correct": 11', b'"correct": 19')
    del lines[40:43]
    damaged, notes = b"".join(lines), []
    path.write_bytes(damaged)
    journal.keep(path, 100, notes.append)
    assert "records of 4 of the 100 batches" in notes[0]
    assert path.with_name(RECORDS + ".damaged").read_bytes() == damaged
    found = summarize(journal.read(path), 100, 100, False)
    assert (found.lost_records, found.rejected_rows, found.accuracy) == (4, 96, 0.5)


@pytest.mark.parametrize("mutation", range(200))
def test_no_mutation_goes_unseen(path, mutation):
    """What is read is a part of what was written, whatever happens to the file."""
    rng = np.random.default_rng(mutation)
    content = bytearray(path.read_bytes())
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 60))
    kind = mutation % 4
    if kind == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        content[at : at + size] = rng.bytes(size)
    elif kind == 2:
        del content[at : at + size]
    else:
        content[at:at] = content[at : at + 3 * size]
    path.write_bytes(content)
    position, whole = int(rng.integers(1, 101)), [record(n) for n in range(1, 101)]
    journal.keep(path, position)
    found = list(journal.read(path))
    assert all(one in whole and one["batch"] <= position for one in found)
    batches = [one["batch"] for one in found]
    assert batches == sorted(set(batches)) and len(batches) >= position - 3


@pytest.mark.parametrize(
    "text", ["[]", "5", '{"batch": true}', '{"batch": 1, "ms": "a"}', "{" * 5000]
)
def test_lines_that_are_no_records_are_damaged(text):
    import zlib

    content = text.encode()
    line = content[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(content)
    assert journal.parse(line) is None
    assert journal.parse(content + b"\n") is None


def test_a_run_goes_on_with_damaged_records_and_says_what_is_lost(tmp_path):
    def batches(start):
        rng = np.random.default_rng(start)
        while True:
            yield rng.normal(size=(4, 3)).astype(np.float32), np.int32([0, 1, 0, 1])

    artifact, folder = toy.write(tmp_path / "toy"), tmp_path / "run"
    with Session(artifact, checkpoint_dir=folder) as session:
        # The toy's train does not say what was rejected.
        train = session.train
        session.train = lambda **i: {**train(**i), "rejected_rows": np.int32([0])}
        loop.run(session, batches, 9, folder)
        path, notes = folder / RECORDS, []
        content = bytearray(path.read_bytes())
        content[len(content) // 2] = 0xFF
        path.write_bytes(content)
        summary = loop.run(session, batches, 12, folder, note=notes.append)
    assert summary.batches == 12 and summary.lost_records == 1
    assert "records of 1 of the 9 batches" in notes[0]
    assert dataclasses.asdict(summary)["lost_records"] == 1


def test_a_full_disk_is_told(path, monkeypatch):
    import os

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with journal.Journal(path) as log:
        log.append(record(101))
        with pytest.raises(DataError, match="cannot write .*No space left"):
            log.sync()
