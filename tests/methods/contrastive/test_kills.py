"""A run that was killed three times, anywhere, ends like one that never was."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from tests.host.test_run import records, worker
from tests.methods.contrastive.test_method import images
from tflite_odl.host import loop
from tflite_odl.host.session import Session

STEPS = 24


def batches(start: int):
    """Yields segments of a stream whose neighbours are alike."""
    while True:
        yield images(6, start // 3), np.full(6, -1, np.int32)
        start += 1


def killed_after(process, folder, seconds: float) -> int:
    """Waits for the process's first new record, then so long; kills it; returns how
    many batches are noted."""
    before, deadline = noted(folder), time.monotonic() + 60
    while noted(folder) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return noted(folder)


def noted(folder) -> int:
    path = folder / loop.RECORDS
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_three_kills_change_no_bit_of_buffer_and_random_state(build, tmp_path):
    artifact = build("contrastive")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert worker(artifact, whole, STEPS, module=__name__).wait() == 0
    rng = np.random.default_rng()
    for _ in range(3):
        process = worker(artifact, parts, STEPS, pause=0.1, module=__name__)
        assert killed_after(process, parts, rng.uniform(0, 0.5)) < STEPS
    assert worker(artifact, parts, STEPS, module=__name__).wait() == 0
    assert records(whole) == records(parts) and len(records(whole)) == STEPS
    states = []
    for folder in (whole, parts):
        with Session(artifact, checkpoint_dir=folder) as session:
            session.restore_checkpoint()
            states.append(session.state(include_buffers=True))
    assert states[0]["buffer_flags"].all() and states[0]["random"].any()
    for name, value in states[0].items():
        assert value.tobytes() == states[1][name].tobytes(), name
