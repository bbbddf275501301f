"""No argument and no file that a user can give ends a tool with a traceback.

Each tool runs all its cases in one process of its own: the flags of two tools clash.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tflite_odl import contract

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """
import contextlib, importlib, io, json, sys, traceback
tool = importlib.import_module(f"tflite_odl.commands.{sys.argv[1]}")
tool.quiet.start = lambda: None
found = []
for arguments in json.load(sys.stdin):
    tool.flags.FLAGS.unparse_flags()
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        try:
            code = tool.main(tool.flags.FLAGS([sys.argv[1], *arguments]))
        except Exception:
            code = traceback.format_exc()
    for name in tool.flags.FLAGS:
        tool.flags.FLAGS[name].unparse()
    found.append([code, said.getvalue(), printed.getvalue()])
json.dump(found, sys.stdout)
"""
CASES = {
    "emulate": (
        ["artifact", "--out=file"],
        ["artifact", "--out=file/run"],
        ["artifact", f"--out={'a' * 256}"],
        ["artifact", "--out=run", "--dataset=npz:text.npz"],
        ["artifact", "--out=run", "--dataset=npz:pipe"],
        ["artifact", "--out=run", "--dataset=digits:rotate=--9"],
        ["artifact", "--out=run", "--dataset=digits"],
        ["artifact", "--out=run", "--threads=0"],
        ["artifact", "--out=run", "--trusted=file"],
        ["pipe", "--out=run"],
        ["artifact", "--out=facts0", "--resume"],
        ["artifact", "--out=facts1", "--resume"],
        ["artifact", "--out=facts2", "--resume"],
    ),
    "describe": (
        ["pipe"],
        ["/dev/zero"],
        ["a" * 256],
        ["damaged"],
    ),
    "bake": (
        ["artifact", "file", "--out=serve.tflite"],
        ["artifact", "pipe", "--out=serve.tflite"],
        ["artifact", "none", "--out=file/serve.tflite"],
    ),
    "convert": tuple(
        ["--backbone=mlp", "--num_classes=2", "--out=out", *options]
        for options in (
            ["--input_shape=4", "--plan=deep.json"],
            ["--input_shape=4", "--plan=numbers.json"],
            ["--input_shape=4", "--plan=pipe"],
            ["--input_shape=4", "--sign=file"],
            ["--input_shape=4", "--sign=none"],
            ["--input_shape=a,b"],
            ["--input_shape=-4"],
        )
    ),
}


@pytest.fixture
def folder(build, tmp_path):
    """An artifact, a damaged one, and odd things beside them."""
    for name in ("artifact", "damaged"):
        shutil.copytree(build("finetune-mlp"), tmp_path / name)
    model = tmp_path / "damaged" / contract.MODEL_FILE
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    (tmp_path / "file").write_text("")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "numbers.json").write_text('{"hidden": 5}')
    (tmp_path / "text.npz").write_bytes(b"PK\3\4 no zip")
    os.mkfifo(tmp_path / "pipe")
    for number, facts in enumerate((b"\xff", b"[" * 100_000, b'{"seed": 5}')):
        (tmp_path / f"facts{number}").mkdir()
        (tmp_path / f"facts{number}" / "run.json").write_bytes(facts)
    return tmp_path


@pytest.mark.parametrize("tool", CASES)
def test_a_tool_refuses_in_words(folder, tool):
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tools")))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tool],
        input=json.dumps(CASES[tool]),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    answers = json.loads(done.stdout)
    for arguments, (code, said, printed) in zip(CASES[tool], answers, strict=True):
        assert code == 2, (arguments, code)
        assert said.strip() and not printed, arguments
    assert not (folder / "serve.tflite").exists() and not (folder / "out").exists()
