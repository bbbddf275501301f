"""What the command lines print stays in one piece, on however narrow a terminal."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NARROW = "20"
# Any phrase of a message or path is longer than this together with what is before it.
DEEP = pathlib.Path(*["a folder of [bold]no[/bold] :smile: consequence"] * 4)


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tools" / f"{name}.py", *map(str, arguments)]
    narrow = {**os.environ, "COLUMNS": NARROW, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=narrow)


@pytest.fixture(params=[".", DEEP], ids=["short", "deep"])
def folder(request, tmp_path) -> pathlib.Path:
    path = tmp_path / request.param
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_emulate_refuses_in_one_line(folder):
    (folder / "records.jsonl").write_text("")
    done = tool("emulate", "nothing", f"--out={folder}")
    expected = f"{folder} already holds a run: --resume it, or take another --out"
    assert done.stderr == f"DataError: {expected}\n"
    assert done.returncode == 2 and not done.stdout


def test_emulate_says_what_is_not_an_artifact_in_one_line(folder):
    done = tool("emulate", folder, f"--out={folder / 'run'}")
    assert done.stderr.count("\n") == 1 and str(folder) in done.stderr


def test_convert_refuses_in_two_lines(folder):
    plan = folder / "plan.json"
    plan.write_text("[]")
    options = ("--backbone=mlp", "--input_shape=4", "--num_classes=2")
    done = tool("convert", *options, f"--plan={plan}", f"--out={folder / 'out'}")
    assert done.returncode == 2 and not done.stdout
    refused, written = done.stderr.splitlines()
    assert refused.startswith(f"ModelError: {plan} is not a plan: ")
    assert written == "nothing was written"


def test_describe_keeps_paths_and_tables_whole(folder, build):
    missing = folder / "missing"
    expected = f"describe: no artifact at {missing}: No such file or directory\n"
    assert tool("describe", missing).stderr == expected
    done = tool("describe", build("finetune-mlp"))
    assert done.returncode == 0, done.stderr
    for text in ("interpreter.train_whole_tensor: ", "gradient_norm", "BATCH_MATMUL"):
        assert text in done.stdout


def test_benchmark_names_an_unknown_argument_in_one_line(folder):
    done = tool("benchmark", "--suite=skip", folder)
    expected = f"unknown arguments {[str(folder)]}: this tool takes flags only\n"
    assert done.stderr == expected and done.returncode == 2


def test_demo_says_where_its_artifacts_go_in_one_line(folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", NARROW)
    monkeypatch.syspath_prepend(ROOT / "tools")
    import demo

    demo.report({"finetune": {"Flex ops": "0"}}, 0.985, folder)
    said = capsys.readouterr().out.splitlines()
    assert f"Keras on upright digits: 98.5%. Artifacts: {folder}" in said
