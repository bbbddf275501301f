"""From this desk to a phone and back: what fits is chosen, runs, and is compared."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import sys
import zipfile

import numpy as np
import pytest

from tests.android.fake_phone import FakePhone
from tflite_odl.deploy import bridge, choice, comparing, deploying, facts, stream
from tflite_odl.deploy.app import App
from tflite_odl.desk import profiles
from tflite_odl.desk.report import page
from tflite_odl.desk.report.verdicts import NO, YES, verdicts
from tflite_odl.errors import ArtifactError, DeviceError
from tflite_odl.streams.dataset import Dataset, Split

HERE = pathlib.Path(__file__).parents[2]
STEPS = 12
PHONE = facts.Facts("Acme", ("arm64-v8a",), 34, 4000.0, 2000.0, 8, 900.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> str:
    """Rows of four numbers of three classes, by which an mlp learns."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 90).astype(np.int32)
    x = (draw.normal(size=(90, 4)) + y[:, None]).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    parts = {"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}
    np.savez(path, **parts, class_names=np.array(["a", "b", "c"]))
    return f"npz:{path}"


@pytest.fixture
def apk(tmp_path: pathlib.Path) -> pathlib.Path:
    """What deploying asks of an APK, and nothing of what a phone does."""
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(deploying.ABOUT, json.dumps({"runtime": "2.16.1"}))
        archive.writestr("lib/arm64-v8a/libtensorflowlite_jni.so", b"")
    return path


def with_app(phone: FakePhone) -> None:
    """Gives the phone an app that trains by this machine's LiteRT when started."""
    python = f"PYTHONPATH={HERE} {sys.executable} -m tests.android.fake_app"
    files = phone.private("files")
    pid = phone.root / "pid"
    started = f'{python} {files} "$@" >{phone.root}/app.log 2>&1 & echo $! >{pid}'
    phone.command("am", started)
    phone.command("pidof", f"kill -0 $(cat {pid})")


def test_a_run_on_a_phone(phone: FakePhone, apk, recording, build, tmp_path):
    artifact = build("finetune-mlp")
    with_app(phone)
    seen: list[tuple[str, int]] = []
    told: list[str] = []
    plan = deploying.Plan(artifact, recording, tmp_path / "out", STEPS, apk=apk)
    found = deploying.deploy(plan, told.append, lambda *at: seen.append(at))
    assert ("desk", STEPS) in seen and ("phone", STEPS) in seen
    assert any("fits: a step takes" in text for text in told)
    compared = found.phone["compared"]
    assert compared["batches"] == STEPS and compared["agrees"]
    assert compared["worst"] == 0, "the same runtime on the same rows"
    assert found.phone["after"] == found.after != found.before
    pulled = sorted(p.name for p in (plan.out / "phone").iterdir())
    assert pulled == ["records.jsonl", "run.json", "status.json"], "no checkpoint"
    text = page.page(found)
    assert "On the phone" in text and "Acme Phone 9" in text
    assert answer(found) == YES
    off = {**found.phone, "goldens": {"passed": 1, "all": 2}}
    assert answer(dataclasses.replace(found, phone=off)) == NO


def answer(found) -> str:
    (verdict,) = [v for v in verdicts(found) if "real phone" in v.question]
    return verdict.answer


def test_an_app_that_crashes(phone: FakePhone):
    phone.command("pm", "echo Success")
    phone.command("pidof", "exit 1")
    lines = (
        "E AndroidRuntime: FATAL EXCEPTION: train",
        "E AndroidRuntime: Process: org.tfliteodl.app, PID: 4711",
        "E AndroidRuntime: java.lang.OutOfMemoryError: Failed to allocate",
    )
    phone.file("crash", "\n".join(lines))
    phone.command("logcat", f"cat {phone.root}/crash")
    app = App(bridge.connect(), "r", sleep=lambda seconds: None)
    app.start({"command": "start"})
    with pytest.raises(DeviceError, match="crashed at batch 0: .*OutOfMemoryError"):
        app.follow(lambda status: None)


def test_an_app_that_says_nothing(phone: FakePhone, monkeypatch):
    monkeypatch.setattr("tflite_odl.deploy.app._SILENT", 3)
    app = App(bridge.connect(), "r", sleep=lambda seconds: None)
    with pytest.raises(DeviceError, match="nothing more was heard"):
        app.follow(lambda status: None)


def test_a_run_that_fails(phone: FakePhone):
    status = {"state": "failed", "batch": 7, "error": "DataException: it is cut"}
    place = phone.private("files/runs/r/status.json")
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(status))
    app = App(bridge.connect(), "r", sleep=lambda seconds: None)
    with pytest.raises(DeviceError, match="the run failed: DataException: it is cut"):
        app.follow(lambda status: None)


def test_an_activity_that_does_not_start(phone: FakePhone):
    phone.command("am", "echo 'Error: Activity class does not exist.'")
    with pytest.raises(DeviceError, match="did not start: Error: Activity class"):
        App(bridge.connect(), "r").start({})


def test_what_an_intent_carries(phone: FakePhone):
    app = App(bridge.connect(), "r")
    app.start({"artifact": "a b", "steps": 3, "idle": True})
    assert phone.asked[-1] == (
        "am start -S -n org.tfliteodl.app/.MainActivity --es run r "
        "--es artifact 'a b' --ei steps 3 --ez idle true"
    )


def test_an_apk_that_is_none(phone: FakePhone, tmp_path):
    path = tmp_path / "other.apk"
    plan = deploying.Plan(tmp_path, "digits", tmp_path / "out", apk=path)
    with pytest.raises(DeviceError, match="no app at .*make apk"):
        deploying.deploy(plan)
    path.write_bytes(b"no zip")
    with pytest.raises(DeviceError, match="not the app that"):
        deploying.deploy(plan)


def test_the_largest_variant_that_fits_is_taken(build, tmp_path):
    for name in ("finetune-mlp", "finetune-sgd"):
        shutil.copytree(build(name), tmp_path / name)
    shutil.copytree(build("finetune-mlp"), tmp_path / "finetune-as-small")
    sizes = {
        path.name: choice.judge(path, PHONE, profiles.load("flagship"), "2.16.1")
        for path in choice.artifacts(tmp_path)
    }
    order = sorted(sizes, key=lambda name: (sizes[name].train_mb, name))
    limit = (sizes[order[1]].train_mb + sizes[order[2]].train_mb) / 2
    profile = dataclasses.replace(profiles.load("flagship"), memory_mb=limit)
    chosen = choice.choose(tmp_path, PHONE, profile, "2.16.1")
    assert chosen.variant.path.name == order[1]
    refused = [r for r in chosen.reasons if r.startswith(order[2])]
    assert "does not fit: a step takes" in refused[0]
    assert chosen.reasons[-1] == f"{order[1]} is the largest of 2 that fit"


def test_nothing_fits(build, tmp_path):
    artifact = build("finetune-mlp")
    small = dataclasses.replace(PHONE, storage_mb=0.01)
    with pytest.raises(DeviceError, match="no artifact fits Acme.*it may keep 0"):
        choice.choose(artifact, small, profiles.load("low_end"), "2.16.1")
    with pytest.raises(DeviceError, match="ops need TFLite .*, the app has 1.2"):
        choice.choose(artifact, PHONE, profiles.load("low_end"), "1.2")
    with pytest.raises(ArtifactError, match="no folder of artifacts"):
        choice.choose(tmp_path, PHONE, profiles.load("low_end"), "2.16.1")


def test_a_damaged_variant_is_told_and_left_out(build, tmp_path):
    for name in ("good", "damaged"):
        shutil.copytree(build("finetune-mlp"), tmp_path / name)
    model = tmp_path / "damaged" / "model.tflite"
    model.write_bytes(model.read_bytes()[:-1])
    chosen = choice.choose(tmp_path, PHONE, profiles.load("mid_range"), "2.16.1")
    assert chosen.variant.path.name == "good"
    assert "was altered" in chosen.reasons[0]


@pytest.mark.parametrize(
    "memory_mb, name",
    [
        (1900, "low_end"),
        (3700, "mid_range"),
        (7600, "upper_mid_range"),
        (11500, "flagship"),
        (None, "low_end"),
    ],
)
def test_the_class_of_a_phone(memory_mb, name):
    assert (
        choice.profile_of(dataclasses.replace(PHONE, memory_mb=memory_mb)).name == name
    )


def test_a_stream_is_the_runs_batches(tmp_path):
    draw = np.random.default_rng(1)
    split = Split(
        draw.normal(size=(10, 3)).astype(np.float32), np.arange(10, dtype="i4")
    )
    dataset = Dataset("rows", tuple("abcdefghij"), split, split, 0.5, -1.0)
    rows = stream.lay_out(dataset, 4, 6, seed=3, order="shuffled")
    laid = stream.write(tmp_path / "s", dataset, rows)
    expected, found = split.batches(6, 3), laid.train.batches(6, 0, 0, "sequential")
    for _ in range(4):
        for a, b in zip(next(expected), next(found)):
            np.testing.assert_array_equal(a, b)
    assert (laid.scale, laid.offset, laid.classes) == (0.5, -1.0, dataset.classes)


def record(batch: int, loss: float | None, correct: int = 3) -> dict:
    return {"batch": batch, "step": batch, "loss": loss, "correct": correct, "ms": 2.0}


def test_runs_that_part_are_told_from_runs_that_differ():
    host = [record(n, 1.0 / n) for n in range(1, 31)]
    near = [{**r, "loss": r["loss"] + 1e-6 * r["batch"]} for r in host]
    found = comparing.compare(host, near)
    assert found.agrees and found.worst == pytest.approx(30e-6)
    late = [{**r, "loss": 5.0} if r["batch"] > comparing.FIRST else r for r in host]
    assert comparing.compare(host, late).agrees, "chaos is no error"
    wrong = [{**r, "loss": r["loss"] * 1.01} for r in host]
    assert not comparing.compare(host, wrong).agrees
    assert not comparing.compare(host, host[:-1]).agrees, "a batch is missing"
    lost = [{**host[0], "loss": None}, *host[1:]]
    assert not comparing.compare(host, lost).agrees
    other = [{**r, "step": r["step"] - 1} for r in host]
    assert not comparing.compare(host, other).agrees, "it rejected a step"
