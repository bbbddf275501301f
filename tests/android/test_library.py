"""The parts of the library that need no Android, on a desktop's JVM."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest

from tests.android.needs import needs, pinned
from tflite_odl import contract
from tflite_odl.desk import parity
from tflite_odl.host import journal
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tflite_odl.streams import packed
from tools.android import commands, compiling, downloads

STEPS = 8


@needs("java", "javac")
def test_junit(library_classes, tmp_path):
    pinned("junit", "hamcrest")
    jars = [library_classes, *map(downloads.get, ("junit", "hamcrest"))]
    folder = compiling.HARNESS / "library" / "src" / "test" / "java"
    files = sorted(folder.rglob("*Test.java"))
    compiling.javac(files, jars, tmp_path)
    path = ":".join(map(str, [tmp_path, *jars]))
    names = [".".join(f.relative_to(folder).with_suffix("").parts) for f in files]
    said = commands.run("java", "-cp", path, "org.junit.runner.JUnitCore", *names)
    assert len(names) == 4 and "OK (" in said


def ask(command: list[str], files: pathlib.Path, **values) -> dict:
    named = {"run": "r", "artifact": "mlp", "stream": "rows", "steps": STEPS, **values}
    words = [f"{name}={value}" for name, value in named.items()]
    commands.run(command[0], *command[1:], files, *words)
    return json.loads((files / "runs" / str(named["run"]) / "status.json").read_text())


@needs("java", "javac", "gcc")
def test_a_run_of_the_app(library, files):
    status = ask(library, files, settings="learning_rate=0.05")
    assert status["state"] == "done" and status["batch"] == STEPS
    assert status["goldens"]["passed"] == status["goldens"]["all"] > 10
    assert status["engine"].startswith("TFLite 2.16.1")
    with Session(files / "artifacts" / "mlp") as session:
        session.configure(learning_rate=0.05)
        rows, _ = packed.read(files / "streams" / "rows")
        for start in range(0, STEPS * 6, 6):
            part = slice(start, start + 6)
            session.train(x=rows["x_train"][part], y=rows["y_train"][part])
        expected = session.evaluate(rows["x_test"], rows["y_test"])
    # Eight steps of a net of two layers on two versions of the runtime.
    assert status["after"]["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert status["after"]["accuracy"] == expected["accuracy"]
    assert status["before"]["loss"] != status["after"]["loss"]


@needs("java", "javac", "gcc")
def test_a_run_goes_on_where_it_was(library, files):
    ask(library, files, run="halves", steps=3)
    assert ask(library, files, run="halves")["batch"] == STEPS
    ask(library, files, run="whole")
    halves, whole = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (files / "runs" / n / "records.jsonl" for n in ("halves", "whole"))
    )
    for a, b in zip(halves, whole, strict=True):
        same = {name for name in a if name not in ("ms", "crc")}
        assert {n: a[n] for n in same} == {n: b[n] for n in same}


@needs("java", "javac", "gcc")
@pytest.mark.parametrize("name", ["skip-defaults", "contrastive", "distill-online"])
def test_a_run_of_every_method(library, build, tmp_path, name):
    """Records are those of the same run in Python, until rounding parts them."""
    artifact = Artifact.open(build(name))
    shutil.copytree(artifact.path, tmp_path / "artifacts" / "mlp")
    batches = list(parity.golden_batches(artifact, 4))
    rows = {"x_train": np.concatenate([b["x"] for b in batches])}
    if "y" in batches[0]:
        rows["y_train"] = np.concatenate([b["y"] for b in batches])
    packed.write(tmp_path / "streams" / "rows", rows, {"classes": ""})
    status = ask(library, tmp_path, steps=4)
    assert status["state"] == "done"
    assert status["goldens"]["passed"] == status["goldens"]["all"] > 10
    records = list(journal.read(tmp_path / "runs" / "r" / "records.jsonl"))
    size = len(batches[0]["x"])
    with Session(artifact.path) as session:
        for start, record in enumerate(records):
            part = slice(start * size, (start + 1) * size)
            inputs = {k.removesuffix("_train"): v[part] for k, v in rows.items()}
            expected = session.train(**inputs)
            assert record["step"] == expected["step"].item()
            # Four steps of nets with batch norms, on two versions of the runtime.
            assert record["loss"] == pytest.approx(expected["loss"].item(), rel=1e-3)


@needs("java", "javac", "gcc")
@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda files: (files / "streams" / "rows").unlink(), "DataException"),
        (lambda files: cut(files / "streams" / "rows"), "DataException"),
        (
            lambda files: cut(files / "artifacts" / "mlp" / "model.tflite"),
            "was altered",
        ),
        (
            lambda files: cut(files / "artifacts" / "mlp" / contract.MANIFEST_FILE),
            "not an",
        ),
    ],
    ids=["no stream", "cut stream", "cut model", "cut manifest"],
)
def test_a_failure_is_the_runs_last_word(library, files, damage, told):
    damage(files)
    with pytest.raises(commands.BuildError, match="Exception: "):
        ask(library, files)
    status = json.loads((files / "runs" / "r" / "status.json").read_text())
    assert status["state"] == "failed" and told in status["error"]


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@needs("java", "javac", "gcc")
def test_checkpoints_are_not_among_what_is_shared(library, files, tmp_path):
    """What a run leaves and what may be shared differ by checkpoints and lock."""
    ask(library, files)
    left = {path.name for path in (files / "runs" / "r").iterdir()}
    source = (
        "import java.io.File;\n"
        "public class Shared { public static void main(String[] a) {\n"
        "  new org.tfliteodl.run.Folders(new File(a[0])).shareable(a[1])\n"
        "      .forEach(f -> System.out.println(f.getName())); } }\n"
    )
    (tmp_path / "Shared.java").write_text(source)
    path = library[library.index("-cp") + 1]
    said = commands.run("java", "-cp", path, tmp_path / "Shared.java", files, "r")
    shared = set(said.split())
    assert shared == {"records.jsonl", "run.json", "status.json"}
    kept = {name for name in left - shared if name != ".lock"}
    assert kept and all("checkpoint" in name or ".safetensors" in name for name in kept)
