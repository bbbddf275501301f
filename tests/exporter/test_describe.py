"""describe shows a folder and a bare model alike, and fails in one line."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.exporter import tiny_trainer
from tflite_odl import contract
from tflite_odl.contract import Manifest, Signature, TensorSpec
from tflite_odl.exporter import artifact, flatbuffer
from tflite_odl.exporter.audit import audit
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.memory import memory

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / "tools" / "describe.py"


def describe(*arguments):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    model = compact(tiny_trainer.model())
    state = (
        TensorSpec("kernel", "float32", (8, 3), role="weight"),
        TensorSpec("slot", "float32", (8, 3), role="slot"),
        TensorSpec("step", "int32", (1,), role="counter"),
    )
    x = TensorSpec("x", "float32", (4, 8), unit="mV", about="electrode [left, right]")
    unused = TensorSpec("unused", "int32", (1,))
    loss = TensorSpec("loss", "float32", (1,))
    return Manifest(
        artifact_id=artifact.artifact_id(model),
        method={"name": "finetune", "config": {"learning_rate": 0.1}},
        signatures={
            "train": Signature("train", (x,), (loss,)),
            "save": Signature("save", (unused,), state),
        },
        state=state,
        classes=("cat", "dog", "bird"),
        plan={"stem": "split_width", "head": "dense", "tail": "dense"},
        ops=audit(tiny_trainer.model(), ["dense"]).ops_by_signature,
        sizes=flatbuffer.sizes(model),
        memory=memory(model, state),
        proofs={"train": {"worst": 1e-7}},
    )


@pytest.fixture(scope="module")
def folder(manifest, tmp_path_factory) -> pathlib.Path:
    model = compact(tiny_trainer.model())
    return artifact.write(tmp_path_factory.mktemp("d") / "a", model, manifest)


def test_shows_every_part(folder, manifest):
    done = describe(folder)
    assert done.returncode == 0, done.stderr
    for shown in (
        manifest.artifact_id,
        "config.learning_rate: 0.1",
        "cat, dog, bird",
        "2 x dense, 1 x split_width",
        "electrode [left, right]",
        "every state tensor",
        "State: 3 tensors, 196 B",
        "BATCH_MATMUL",
        "activations",
        "train.worst: 1e-07",
        "model.tflite",
    ):
        assert shown in done.stdout


def test_bare_model_tells_the_same_but_the_files(folder, manifest):
    done = describe(folder / contract.MODEL_FILE, "--json")
    assert done.returncode == 0
    assert Manifest.from_json(done.stdout) == manifest
    beside = json.loads(describe("--json", folder).stdout)
    assert set(beside["files"]) == {"model.tflite"}


def test_rejected_artifact_is_shown_with_its_reason(manifest, tmp_path):
    model = compact(tiny_trainer.model())
    artifact.write(tmp_path / "a", model, manifest, rejected="loss [3] differs")
    assert describe(tmp_path / "a").stdout.startswith("REJECTED: loss [3] differs")


def test_an_artifact_of_contract_1_is_shown_with_a_note():
    folder = pathlib.Path(__file__).parents[1] / "host" / "version1" / "artifact"
    assert describe(folder).stdout.startswith("note: it follows contract 1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no artifact at"),
        ("text.tflite", b"hello, I am a text", "no TFLite model"),
        ("foreign.tflite", "model", "holds no manifest"),
        ("folder", "folder", "no manifest.json"),
        ("broken", "manifest", "manifest"),
    ],
)
def test_error_is_one_line_and_code_2(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content == "manifest":
        path.mkdir()
        (path / "manifest.json").write_text('{"contract_version": 1}')
    elif content is not None:
        path.write_bytes(tiny_trainer.model() if content == "model" else content)
    done = describe(path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_usage():
    done = describe()
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
