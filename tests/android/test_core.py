"""The Java core does what the Python host does, through TFLite's true Java API.

Both run the same artifacts. Android's x86-64 library runs TFLite's own kernels, so it
is held against these here; XNNPACK's are compared by the goldens.
"""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess

import numpy as np
import pytest
import safetensors.numpy

from tests.android import java
from tests.host import toy
from tflite_odl import contract
from tflite_odl.contract.names import LABEL
from tflite_odl.desk import parity
from tflite_odl.desk.replay import Call, replay
from tflite_odl.exporter import artifact
from tflite_odl.host import bake, checkpoint, journal, loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import PlainRuntime
from tflite_odl.host.session import Session
from tflite_odl.streams import packed

QUICK = ("finetune-sgd", "skip-defaults", "contrastive", "distill-online")
MORE = ("skip-noisy", "distill-frozen", "contrastive-sensors-min-red")
# An int8 backbone rounds to the step beside between kernels, as between Python's own:
# the goldens' tolerances know that, a step's do not.
INT8 = ("finetune-int8", "skip-int8")
TWINS = (
    "finetune-sgd",
    "distill-online",
    "distill-ternary-noisy",
    "finetune-int8-serve",
    "finetune-int8_weights",
    "skip-float16",
    "finetune-int4_dense",
    "skip-int2_dense",
)
STEPS = 50
# Of the most that a call moves any weight: float32 sums in another order.
LIMIT = 1e-5


@pytest.fixture(scope="session")
def command(tmp_path_factory) -> list[str]:
    java.ready()
    return java.compiled(tmp_path_factory.mktemp("classes"))


def test_the_core_is_java_8_and_the_jdk_alone():
    """No android.*, so that a desktop runs it; no network, no reflection anywhere."""
    engine = {"TfLiteEngine.java", "SignatureCall.java"}
    for path in java.CORE.glob("src/main/**/*.java"):
        text = path.read_text(encoding="utf-8")
        assert max(map(len, text.splitlines())) <= 100, path
        for name in re.findall(r"^import (?:static )?([\w.]+);", text, re.MULTILINE):
            ours = name.startswith("org.tfliteodl.")
            runtime = name.startswith("org.tensorflow.lite.") and path.name in engine
            assert ours or runtime or name.startswith("java."), (path, name)
            assert not name.startswith(("java.net.", "java.lang.reflect.")), path
        assert "Class.forName" not in text and "android." not in text, path


def run(command: list[str], *arguments, fails: bool = False) -> str:
    what = [*command, *map(str, arguments)]
    done = subprocess.run(what, capture_output=True, text=True, timeout=java.SECONDS)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def every(quick, slow):
    """Parametrizes by artifacts; those that only `make test-slow` runs are marked."""
    marked = [pytest.param(name, marks=pytest.mark.slow) for name in slow]
    return pytest.mark.parametrize("artifact", [*quick, *marked])


@every(QUICK, MORE)
def test_every_step_from_equal_states_is_pythons(command, build, artifact, tmp_path):
    opened = Artifact.open(build(artifact))
    manifest = opened.manifest
    with PlainRuntime(opened.model, manifest, threads=1) as runtime:
        batches = list(parity.golden_batches(opened, STEPS))
        calls = list(parity.calls_of(runtime, manifest, batches))
        expected = replay(runtime, calls)
    place = java.Java("Java", command=tuple(command))
    found = place.run(opened.path, calls, tmp_path)
    differences = parity.compare(manifest, calls, expected, found)
    assert [d for d in differences if not d.passed] == []
    trained = [n for n, call in enumerate(calls) if call.signature == contract.TRAIN]
    assert len(trained) == STEPS
    for n in trained:
        close_to_the_update(manifest, calls[n].state, expected[n].state, found[n].state)
    for a, b in zip(expected, found, strict=True):
        for name, value in a.outputs.items():
            if value.dtype.kind != "f":  # choices, counters, labels
                np.testing.assert_array_equal(b.outputs[name], value, name)


def close_to_the_update(manifest, before, expected, found) -> None:
    weights = [spec.name for spec in manifest.state if spec.role == "weight"]
    wide = {n: expected[n].astype(np.float64) for n in weights}
    most = max(np.abs(wide[n] - before[n]).max() for n in weights)
    for name in weights:
        # Twice the spacing of float32 at the largest weight: the sum is rounded, too.
        rounding = 2 * np.spacing(np.float32(np.abs(wide[name]).max()))
        error = np.abs(wide[name] - found[name]).max()
        assert error <= LIMIT * most + rounding, name


@every(QUICK, MORE + INT8)
def test_the_goldens_hold(command, build, artifact):
    results = java.Java("Java", command=tuple(command)).prove(build(artifact))
    assert results and [r for r in results if not r.passed] == []


def moved(artifact: pathlib.Path, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Saves a checkpoint in which every weight has moved; returns the state."""
    rng = np.random.default_rng(3)
    with Session(artifact, checkpoint_dir=folder) as session:
        state = session.state(include_buffers=True)
        for spec in session.manifest.state:
            if spec.dtype == "float32" and spec.role == "weight":
                value = state[spec.name]
                value = value + 0.1 * np.abs(rng.normal(size=value.shape))
                state[spec.name] = value.astype(np.float32)
        session.load_state(state)
        session.save_checkpoint()
    return state


@pytest.mark.parametrize("artifact", TWINS)
def test_a_baked_twin_is_pythons_byte_for_byte(command, build, artifact, tmp_path):
    folder = build(artifact)
    state = moved(folder, tmp_path)
    run(command, "bake", folder, tmp_path, tmp_path / "serve.tflite")
    expected = bake.bake(folder, state)
    assert (tmp_path / "serve.tflite").read_bytes() == expected
    assert expected != bake.shipped(Artifact.open(folder))


@pytest.fixture
def stream(build, tmp_path) -> pathlib.Path:
    """A packed stream that fits `finetune-sgd`: 23 rows, one without a label."""
    x, y = rows(Artifact.open(build("finetune-sgd")), 23)
    y[5] = contract.UNLABELLED
    packed.write(tmp_path / "stream.bin", {"x_train": x, "y_train": y}, {"scale": "1"})
    return tmp_path / "stream.bin"


def rows(artifact: Artifact, count: int):
    rng, train = np.random.default_rng(0), artifact.manifest.signature(contract.TRAIN)
    (x,) = (spec for spec in train.inputs if spec.role == "feature")
    assert train.inputs_of(LABEL) == ("y",)
    values = rng.normal(size=(count, *x.shape[1:])).astype(np.float32)
    return values, rng.integers(0, 3, count).astype(np.int32)


def batches(stream: pathlib.Path, size: int):
    arrays, _ = packed.read(stream)
    x, y = arrays["x_train"], arrays["y_train"]

    def from_(start: int):
        while True:
            places = np.arange(start * size, (start + 1) * size) % len(y)
            yield x[places], y[places]
            start += 1

    return from_


def test_runs_of_both_hosts_give_the_same_records(command, build, stream, tmp_path):
    artifact, here, there = build("finetune-sgd"), tmp_path / "py", tmp_path / "java"
    run(command, "train", artifact, stream, there, 9, 4, 1)
    with Session(artifact, PlainRuntime, 1, checkpoint_dir=here) as session:
        loop.run(session, batches(stream, session.batch_size), 9, here, 4)
    ours, theirs = (list(journal.read(f / "records.jsonl")) for f in (here, there))
    assert len(ours) == 9
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"ms"}:
            assert type(a[name]) is type(b[name]), name
            assert b[name] == pytest.approx(a[name], rel=1e-4), name  # nine free steps


def test_a_checkpoint_goes_to_python_and_back(command, build, stream, tmp_path):
    artifact, folder = build("finetune-sgd"), tmp_path / "run"
    run(command, "train", artifact, stream, folder, 4, 4, 1)
    written = (folder / checkpoint.NEWEST).read_bytes()
    with Session(artifact, checkpoint_dir=folder) as session:
        assert session.restore_checkpoint() == 4 and session.position == 4
        state = session.state(include_buffers=True)
        session.save_checkpoint()
    # The same bytes, but for the order of the header's facts, which Python's
    # safetensors draws by lot.
    again = (folder / checkpoint.NEWEST).read_bytes()
    assert parts(again) == parts(written)
    run(command, "train", artifact, stream, folder, 5, 4, 1)
    found = safetensors.numpy.load_file(folder / checkpoint.NEWEST)
    assert int(found["step"][0]) == 5 and set(found) == set(state)


def parts(content: bytes) -> tuple[dict, list, bytes]:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return header, [name for name in header if name != "__metadata__"], content[size:]


def test_a_killed_run_goes_on_as_if_it_had_not_been(command, build, stream, tmp_path):
    artifact, steps = build("finetune-sgd"), 400
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(command, "train", artifact, stream, whole, steps, 7, 1)
    what = [*command, "train", artifact, stream, killed, steps, 7, 1]
    with subprocess.Popen(list(map(str, what)), stdout=subprocess.PIPE) as process:
        for _ in range(100):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (
        0
        < checkpoint.load(
            killed / checkpoint.NEWEST, Artifact.open(artifact).manifest
        ).position
        < steps
    )
    run(command, "train", artifact, stream, killed, steps, 7, 1)
    names = (checkpoint.NEWEST, checkpoint.BEFORE)
    for name in names:
        assert (whole / name).read_bytes() == (killed / name).read_bytes()
    ours, theirs = (
        [{**one, "ms": 0} for one in journal.read(folder / "records.jsonl")]
        for folder in (whole, killed)
    )
    assert ours == theirs and len(ours) == steps
    assert [p.name for p in killed.iterdir() if p.name.endswith(".writing")] == []


def test_damage_is_told_and_nothing_crashes(command, build, stream, tmp_path):
    artifact, folder = build("finetune-sgd"), tmp_path / "run"
    run(command, "train", artifact, stream, folder, 3, 1, 1)
    other = tmp_path / "other.bin"
    content = bytearray(stream.read_bytes())
    content[-3] ^= 1
    other.write_bytes(content)
    said = run(command, "train", artifact, other, folder, 4, 1, 1, fails=True)
    assert said.startswith("DataException") and "does not fit its content" in said
    x, y = rows(Artifact.open(artifact), 23)
    packed.write(other, {"x_train": x, "y_train": y}, {})
    said = run(command, "train", artifact, other, folder, 4, 1, 1, fails=True)
    assert "holds a run with stream" in said
    newest = folder / checkpoint.NEWEST
    newest.write_bytes(newest.read_bytes()[:-1])
    printed = run(command, "train", artifact, stream, folder, 4, 1, 1)
    assert '"batch": 4' in printed and '"batch": 3' not in printed
    for name in (checkpoint.NEWEST, checkpoint.BEFORE):
        (folder / name).write_bytes(b"no checkpoint")
    said = run(command, "train", artifact, stream, folder, 5, 1, 1, fails=True)
    assert said.splitlines()[-1].startswith("CheckpointException: no usable checkpoint")


def test_every_dtype_goes_through(command, tmp_path):
    opened = Artifact.open(toy.write(tmp_path / "toy"))
    rng, photo = np.random.default_rng(0), np.uint8([0, 1, 127, 128, 255])
    with PlainRuntime(opened.model, opened.manifest, threads=1) as runtime:
        state = {**runtime.save(), "photos": photo, "tiny": np.int8([-128, 127])}
        state["seen"] = np.array([True, False])
        x = rng.normal(size=(toy.BATCH, 3)).astype(np.float32)
        batch = {"x": x, "y": np.int32([0, 1, -1, 1]), "count": np.int32([3])}
        calls = [
            Call("train", batch, state),
            Call("remember", {"photo": photo[::-1].copy()}),
        ]
        expected = replay(runtime, calls)
    place = java.Java("Java", command=tuple(command))
    found = place.run(opened.path, calls, tmp_path)
    for a, b in zip(expected, found, strict=True):
        for one, other in ((a.outputs, b.outputs), (a.state, b.state)):
            assert one.keys() == other.keys()
            for name, value in one.items():
                assert other[name].dtype == value.dtype, name
                np.testing.assert_array_equal(other[name], value, name)


def test_a_signature_is_asked_for_where_a_key_is_given(command, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw().hex()
    signed = artifact.write(
        tmp_path / "signed", toy.model(), toy.manifest(), sign=bytes(range(32))
    )
    model = signed / contract.MODEL_FILE
    for path in (signed, model):
        assert toy.manifest().method["name"] in run(command, "describe", path, public)
        other = "00" + public[2:]
        said = run(command, "describe", path, other, fails=True)
        assert "not signed by the trusted key" in said or "no Ed25519 key" in said
    plain = toy.write(tmp_path / "plain")
    said = run(command, "describe", plain, public, fails=True)
    assert "model.tflite has no signature" in said
    (signed / contract.SIGNATURE_FILE).write_bytes(bytes(64))
    said = run(command, "describe", signed, public, fails=True)
    assert "manifest.json was not signed" in said


# A heap that is resident from the start, and a small compiler: what grows is a leak.
CALM = "-Xms64m -Xmx64m -XX:+AlwaysPreTouch -XX:TieredStopAtLevel=1"


def maven(artifacts: pathlib.Path, *flags: str, seconds: float = java.SECONDS) -> str:
    """Runs the core's own tests; offline, unless Maven has not fetched what it needs.

    Returns:
      What was printed.
    """
    what = [f"-Dtflite={java.FOLDER}", f"-Dartifacts={artifacts}", *flags, "test"]
    for online in (["-o"], []):
        done = subprocess.run(
            ["mvn", "-q", "-B", *online, *what],
            cwd=java.CORE,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        printed = done.stdout + done.stderr
        if "offline" not in printed and "has not been downloaded" not in printed:
            break
    if "Could not transfer artifact" in printed or "Unknown host" in printed:
        pytest.skip("Maven cannot fetch what the core's tests need")
    assert done.returncode == 0, printed[-6000:]
    return printed


@pytest.fixture
def artifacts(build) -> pathlib.Path:
    """The folder of the artifacts that JUnit's tests run."""
    return [build(name) for name in QUICK][0].parent


def test_junit(artifacts, command):
    reports = java.CORE / "target" / "surefire-reports"
    for old in reports.glob("*.xml"):
        old.unlink()
    maven(artifacts)
    ran = [path.name for path in reports.glob("*.xml")]
    assert any("SessionTest" in n for n in ran) and any("BakeTest" in n for n in ran)


@pytest.mark.slow
def test_memory_does_not_grow_over_10000_steps(artifacts, command):
    flags = ("-Dslow=true", f"-Dheap={CALM}", "-Dtest=LongRunTest")
    printed = maven(artifacts, *flags, seconds=6 * java.SECONDS)
    assert all(name in printed for name in QUICK)
