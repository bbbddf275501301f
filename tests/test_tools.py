"""The command lines as a user types them: results on stdout, one line of error."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys

import keras
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tools" / f"{name}.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def last_line(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_convert_emulate_resume(tmp_path):
    artifact, run = tmp_path / "artifact", tmp_path / "run"
    made = tool(
        "convert",
        "--method=finetune",
        "--backbone=mlp",
        "--dataset=digits",
        "--optimizer=nesterov",
        "--learning_rate=0.05",
        "--hyperparameters=momentum=0.8",
        "--schedule=cosine",
        "--warmup_steps=5",
        "--decay_steps=60",
        "--accumulate=2",
        "--label_smoothing=0.05",
        f"--out={artifact}",
    )
    assert last_line(made)["proofs"]["interpreter"]["train_whole_tensor"] < 1e-5
    options = ("--dataset=digits", f"--out={run}", "--set=learning_rate=0.2")
    first = last_line(tool("emulate", artifact, *options, "--steps=40"))
    assert first["batches"] == 40 and first["flex_ops"] == 0
    refused = tool("emulate", artifact, *options, "--steps=80")
    assert refused.returncode == 2 and "already holds a run" in refused.stderr
    summary = last_line(
        tool(
            "emulate",
            artifact,
            *options,
            "--steps=80",
            "--resume",
            "--runtime=compiled",
        )
    )
    assert summary["batches"] == summary["steps"] == 80
    assert summary["accuracy_after"] > summary["accuracy_before"] + 0.3
    assert len((run / "records.jsonl").read_text().splitlines()) == 80
    page = tmp_path / "report.html"
    lives = last_line(
        tool(
            "emulate",
            artifact,
            *("--dataset=digits", f"--out={tmp_path / 'phone'}", "--steps=30"),
            *("--device=mid_range", "--faults=kill=1,corrupt=2", "--parity=2"),
            f"--report={page}",
        )
    )
    assert lives["equal"] is True and lives["batches"] == 30
    assert [fault["kind"] for fault in lives["faults"]] == ["kill"]
    found = json.loads(page.with_suffix(".json").read_text())
    assert found["parity"] and all(row["passed"] for row in found["parity"])
    assert "Ready to ship?" in page.read_text()
    nobody = tool("emulate", artifact, "--device=toaster", f"--out={tmp_path / 'no'}")
    assert nobody.returncode == 2 and "one of flagship" in nobody.stderr
    served = ("--evaluate=digits", f"--out={tmp_path / 'serve.tflite'}")
    baked = last_line(tool("bake", artifact, run, *served))
    assert baked["taken"] and baked["score"] > baked["before"] + 0.3
    kept = (tmp_path / "serve.tflite").read_bytes()
    worse = tool("bake", artifact, run, *served, "--max_drop=-0.01")
    assert worse.returncode == 1 and "stays" in json.loads(worse.stdout)["reason"]
    assert (tmp_path / "serve.tflite").read_bytes() == kept


def test_convert_quantizes_what_is_frozen(tmp_path):
    options = ("--backbone=mlp", "--dataset=digits", "--trainable=head")
    made = tool(
        "convert", *options, "--quantize=int8_backbone", f"--out={tmp_path / 'int8'}"
    )
    assert last_line(made)["proofs"]["int8_backbone"]["steps_of_a_layer"] <= 1.001
    shown = tool("describe", tmp_path / "int8").stdout
    assert 'int8_layers: ["hidden1"]' in shown and "serve.tflite" in shown
    assert "ranges" not in shown
    refused = tool("convert", *options, "--quantize=int7", f"--out={tmp_path / 'no'}")
    assert refused.returncode == 2 and "'int8_backbone'" in refused.stderr


def test_skip_converts_and_saves_backward_passes(tmp_path):
    artifact, run = tmp_path / "artifact", tmp_path / "run"
    options = ("--backbone=mlp", "--dataset=digits", "--learning_rate=0.1")
    skip = ("--method=skip", "--error_bound=0.1", "--update_period=20")
    last_line(tool("convert", *options, *skip, f"--out={artifact}"))
    options = ("--dataset=digits", f"--out={run}", "--set=update_period=10")
    summary = last_line(tool("emulate", artifact, *options, "--steps=120"))
    assert summary["accuracy_after"] > summary["accuracy_before"] + 0.3
    record = json.loads((run / "records.jsonl").read_text().splitlines()[-1])
    assert record["skipped_total"] > 100 and record["threshold"] < 1


def test_the_commands_for_skip_work_as_the_readme_prints_them(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    printed = (ROOT / "README.md").read_text().splitlines()
    commands = [
        shlex.split(line)
        for line in printed
        if line.startswith("    python tools/") and "artifacts/skip" in line
    ]
    assert [command[1] for command in commands] == [
        "tools/convert.py",
        "tools/emulate.py",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _, *arguments in commands:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
        )
        summary = last_line(done)
    manifest = json.loads((tmp_path / "artifacts/skip/manifest.json").read_text())
    config = manifest["method"]["config"]
    assert (config["spacing"], config["norm_means"]) == ("geometric", "kept")
    assert summary["steps"] == 300 and summary["flex_ops"] == 0
    # From fresh weights .10 became .92; another processor's rounding moves that a bit.
    assert summary["accuracy_after"] > 0.8 > 0.5 > summary["accuracy_before"]


def test_convert_refuses_in_a_line_and_writes_nothing(tmp_path):
    out = tmp_path / "out"
    options = ("--backbone=mlp", "--dataset=digits", "--trainable=nope", f"--out={out}")
    done = tool("convert", *options)
    assert done.returncode == 2 and not out.exists()
    assert "matches no layer" in done.stderr and "Traceback" not in done.stderr
    speed = tool("convert", "--backbone=mlp", "--hyperparameters=rho=fast", options[-1])
    assert speed.returncode == 2 and "'fast' is no number" in speed.stderr
    neither = tool("convert", f"--out={out}")
    assert neither.returncode == 2 and "either --model or --backbone" in neither.stderr


def test_a_users_model_is_scaled_by_itself_or_by_a_flag(tmp_path):
    """A data set's own scale would come on top of the model's."""
    rng = np.random.default_rng(0)
    rows = {
        f"{name}_{part}": value
        for part in ("train", "test")
        for name, value in (
            ("x", rng.integers(0, 256, (40, 6)).astype(np.uint8)),
            ("y", rng.integers(0, 3, 40)),
        )
    }
    np.savez(tmp_path / "mine.npz", **rows)
    dense = keras.layers.Dense(3, activation="softmax", name="head")
    bare = keras.Sequential([keras.Input((6,)), dense])
    bare.save(tmp_path / "bare.keras")
    scaled = [keras.Input((6,)), keras.layers.Rescaling(1 / 127.5, -1.0), dense]
    keras.Sequential(scaled).save(tmp_path / "scaled.keras")

    def convert(model: str, *options: str) -> subprocess.CompletedProcess:
        data = f"--dataset=npz:{tmp_path / 'mine.npz'}"
        names = (f"--model={tmp_path / model}.keras", f"--out={tmp_path / model}")
        return tool("convert", data, *names, "--batch_size=4", "--noserve", *options)

    refused = convert("bare")
    assert refused.returncode == 2 and "--scale=1 " in refused.stderr
    assert "--scale=0.00392" in refused.stderr
    for model, options, scale in (
        ("bare", ["--scale=0.00392"], 0.00392),
        ("scaled", [], 1.0),
    ):
        last_line(convert(model, *options))
        manifest = json.loads((tmp_path / model / "manifest.json").read_text())
        found = manifest["method"]["config"]["preprocessing"]
        assert found == {"dtype": "uint8", "scale": scale, "offset": 0.0}
