"""Lives of an app on the emulated phone: limits hold, and nothing learned is lost."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from tests.nets import BATCH, CLASSES
from tflite_odl import streams
from tflite_odl.desk import app, limits, phone, schedule
from tflite_odl.desk.profiles import Profile, Sensor
from tflite_odl.errors import DeviceError
from tflite_odl.host import checkpoint
from tflite_odl.host.session import Session

# Noise, Adam and clipping: the random generator's state and the slots matter.
NAME = "finetune-adam-clip-noise"
STEPS = 12
PLAIN = Profile("test", "a test", sensor=Sensor())


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> str:
    rng = np.random.default_rng(0)
    rows = {
        f"{kind}_{part}": value
        for part, number in (("train", 200), ("test", 40))
        for kind, value in (
            ("x", rng.normal(size=(number, 6, 6, 2)).astype(np.float32)),
            ("y", rng.integers(0, CLASSES, number).astype(np.int32)),
        )
    }
    path = tmp_path_factory.mktemp("recording") / "rows.npz"
    np.savez(path, **rows)
    return f"npz:{path}"


@pytest.fixture
def life(build, recording, tmp_path) -> app.Life:
    return app.Life(
        str(build(NAME)),
        recording,
        "shuffled",
        0,
        str(tmp_path / "run"),
        batches=[],
        corrupt=[],
        settings={"learning_rate": 0.02},
        threads=1,
        checkpoint_every=3,
    )


def planned(life: app.Life, plan: schedule.Schedule) -> app.Life:
    return dataclasses.replace(
        life,
        batches=[list(batch) for batch in plan.batches],
        corrupt=[list(pair) for pair in plan.corrupt],
    )


def plan(**faults: int) -> schedule.Schedule:
    return schedule.plan(PLAIN, BATCH, STEPS, 0.1, faults, seed=3)


def test_faults_of_the_apps_life_leave_what_is_learned_as_it_was(life):
    faults = plan(kill=1, kill_saving=1, storage_full=1, clock_jump=1)
    outcome = phone.live(planned(life, faults), faults.faults)
    assert sorted(f.kind for f in outcome.came) == sorted(schedule.LIFE)
    assert outcome.equal is True
    assert outcome.result["summary"]["batches"] == STEPS


def test_a_life_that_learned_something_else_is_told(life, monkeypatch):
    faults, live = plan(kill=1), phone._lives

    def other(life, faults, on_batch):
        if life.out.endswith(phone.UNDISTURBED):
            life = dataclasses.replace(life, settings={"learning_rate": 0.03})
        return live(life, faults, on_batch)

    monkeypatch.setattr(phone, "_lives", other)
    assert phone.live(planned(life, faults), faults.faults).equal is False


def test_faults_of_the_stream_are_learned_as_they_arrived(life):
    faults = plan(gap=1, duplicate=2, corrupt=3)
    outcome = phone.live(planned(life, faults), faults.faults)
    assert outcome.came == () and outcome.equal is None
    assert outcome.result["summary"]["rejected_rows"] == len(faults.corrupt) > 0
    dataset = streams.open(life.dataset)
    order = [row for start in range(3) for row in _epoch(dataset, start)]
    with Session(life.artifact, threads=1) as session:
        session.configure(**life.settings)
        for number, batch in enumerate(faults.batches):
            rows = [order[n] for n in batch]
            x, y = np.array(dataset.train.x[rows]), dataset.train.y[rows]
            for row in range(BATCH):
                if (number, row) in faults.corrupt:
                    x[row] = np.nan
            session.train(x=x, y=y)
        state = session.state(include_buffers=True)
        found = checkpoint.latest(life.out, session.manifest).state
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value)


def _epoch(dataset, number: int) -> list[int]:
    key = np.random.Generator(np.random.Philox(key=[0, number]))
    return key.permutation(len(dataset.train)).tolist()


def test_an_app_over_its_memory_ends_and_the_call_is_named(life):
    small = dataclasses.replace(planned(life, plan()), memory_mb=0.5)
    with pytest.raises(phone.OutOfMemory, match="over 0.5 MB (while|in the first)"):
        phone.live(small, ())
    held = phone.live(dataclasses.replace(small, memory_mb=200.0), ())
    memory = held.result["memory"]
    assert memory["mechanism"] in ("cgroup v2", "cgroup v1", "polling")
    assert 0 < memory["used_mb"] < 200


def test_polling_ends_a_process_that_grows(monkeypatch):
    ended = []
    sizes = iter([0, 0, 100, 200])
    monkeypatch.setattr(limits, "resident", lambda: next(sizes, 200))
    thread = limits.poll(150, lambda: ended.append(True))
    thread.join(timeout=10)
    assert ended


def test_the_largest_batch_is_where_the_limit_is_reached():
    memory = {"weights": 2**20, "activations": 2**20, "temporary": 0, "total": 2**21}
    assert phone.largest_batch(memory, 16, 3.0) == 32
    assert phone.largest_batch(memory, 16, 0.5) == 0


def test_an_app_that_fails_by_itself_says_why(life):
    broken = dataclasses.replace(planned(life, plan()), dataset="npz:/no/such.npz")
    with pytest.raises(DeviceError, match="exit code 2: DataError: cannot read"):
        phone.live(broken, ())


def test_calls_are_timed_by_signature(life):
    phone.live(planned(life, plan()), ())
    told = json.loads(((pathlib.Path(life.out)) / app.RESULT).read_text())
    assert told["calls"]["train"]["calls"] == STEPS
    assert told["calls"]["train"]["p50_ms"] <= told["calls"]["train"]["p99_ms"]


def test_an_app_over_its_storage_ends_and_is_told_what_lies_there(life):
    state = len((pathlib.Path(life.artifact) / "model.tflite").read_bytes())
    small = dataclasses.replace(planned(life, plan()), storage_mb=1e-3)
    with pytest.raises(
        phone.OutOfStorage, match="may take 0.00 MB beside the artifact"
    ):
        phone.live(small, ())
    enough = dataclasses.replace(small, storage_mb=10 * state / 2**20)
    assert phone.live(enough, ()).result["summary"]["batches"] == STEPS


def test_an_update_takes_the_weights_and_nothing_else(life, build):
    faults = plan(kill=1)
    whole = planned(life, faults)
    new = build("finetune-sgd")  # the same net, another optimizer
    found = phone.updated(whole, faults.faults, str(new), STEPS // 2)
    assert found.kept == () and found.differing == ()
    assert [f.kind for f in found.outcome.came] == ["kill"] and found.outcome.equal
    # The same weights answer the same, whatever trains them.
    assert found.adopted["loss"] == pytest.approx(found.before["loss"], rel=1e-6)
    assert found.outcome.result["summary"]["batches"] == STEPS - STEPS // 2
    with Session(new, threads=1) as session:
        session.configure(**life.settings)
        session.adopt(pathlib.Path(life.out) / checkpoint.NEWEST)
        dataset = streams.open(life.dataset)
        for x, y in app.Arriving(dataset.train, whole, BATCH)(STEPS // 2):
            session.train(x=x, y=y)
        state = session.state(include_buffers=True)
        folder = pathlib.Path(life.out) / phone.UPDATED
        learned = checkpoint.latest(folder, session.manifest).state
    for name, value in state.items():
        np.testing.assert_array_equal(learned[name], value)


def test_an_update_to_other_batches_is_refused(life, build):
    with pytest.raises(DeviceError, match="the batch amid the run"):
        phone.updated(planned(life, plan()), (), str(build("finetune-sgd")), STEPS)
