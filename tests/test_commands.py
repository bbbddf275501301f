"""The package's own command line, as pip users have it without a checkout."""

import configparser
import os
import pathlib
import subprocess
import sys

import pytest

from tflite_odl import __main__ as entry

ROOT = pathlib.Path(__file__).parents[1]


def run(folder, *arguments):
    """Runs the package in a folder where there is no tools/."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tflite_odl", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment
    )


def test_a_command_fails_as_the_tool_does(tmp_path):
    done = run(tmp_path, "describe", "missing")
    assert done.returncode == 2
    assert done.stderr.startswith("describe: no artifact at missing")


@pytest.mark.parametrize("command", entry.COMMANDS)
def test_help_lists_the_command_s_own_flags(command, tmp_path):
    done = run(tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"tflite-odl {command}" in done.stdout and "verbose" in done.stdout
    own = {
        "convert": "learning_rate",
        "emulate": "steps",
        "bake": "max_drop",
        "deliver": "dense_bits",
        "deploy": "serial",
    }
    assert f"{own.get(command, 'json')}:" in done.stdout
    # What `emulate` does beyond a plain run has a file of its own.
    assert ("--parity" in done.stdout) == (command == "emulate")


def test_an_unknown_command_is_told_the_known_ones(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tflite-odl", "train"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    assert "emulate, describe, bake, deliver and deploy" in capsys.readouterr().err


def test_the_package_is_installed_with_the_command():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    (line,) = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    assert line == f"tflite-odl = {entry.__name__}:main"
