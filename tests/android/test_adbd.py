"""End to end over a real adb server and a real adbd: push, run, pull, compare."""

from __future__ import annotations

import json
import pathlib
import shlex
import sys

import numpy as np
import pytest

from tests.android import adbd
from tests.android.needs import needs
from tflite_odl.deploy.bridge import SHARED

STEPS = 10
SERIAL = "127.0.0.1:5555"

pytestmark = needs("java", "javac", "gcc")


@pytest.fixture
def recording(tmp_path) -> pathlib.Path:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 60).astype(np.int32)
    x = (draw.normal(size=(60, 4)) + y[:, None]).astype(np.float32)
    path = tmp_path / "rows.npz"
    parts = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    np.savez(path, **parts, class_names=np.array(["a", "b", "c"]))
    return path


def deployed(runner: str, artifact, recording, tmp_path, serial: str = SERIAL):
    """Deploys to the daemon; returns what the command line printed and said."""
    pytest.importorskip("adbutils", reason="adbutils is not installed")
    script = tmp_path / "runner"
    script.write_text(f"#!/bin/sh\n{runner}\n")
    script.chmod(0o755)
    flags = (
        f"--dataset=npz:{recording}",
        f"--steps={STEPS}",
        f"--serial={serial}",
        "--runner=runner",
        f"--out={tmp_path / 'out'}",
    )
    command = (sys.executable, "-m", "tflite_odl", "deploy", artifact, *flags)
    return adbd.beside(script, *command, home=tmp_path)


def in_java(command: list[str]) -> str:
    """Returns the device's command that runs the app's Java on this machine's JVM."""
    root = shlex.quote(str(adbd.ready()))
    return (
        f'files={root}"$1"; shift; exec chroot /host {shlex.join(command)} $files "$@"'
    )


def test_a_device_with_the_android_library(build, recording, library, tmp_path):
    """The app's own run, on Android's x86-64 library, behind adb."""
    done = deployed(in_java(library), build("finetune-mlp"), recording, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = json.loads(done.stdout.strip().splitlines()[-1])
    assert printed["agrees"] and printed["batches"] == STEPS
    assert "x86_64" in done.stderr and "fits: a step takes" in done.stderr
    phone = json.loads((tmp_path / "out" / "report.json").read_text())["phone"]
    assert phone["engine"].startswith("TFLite 2.16.1")
    assert phone["goldens"]["passed"] == phone["goldens"]["all"] > 10
    pulled = {path.name for path in (tmp_path / "out" / "phone").iterdir()}
    assert pulled == {"records.jsonl", "run.json", "status.json"}
    there = adbd.ready() / SHARED.lstrip("/") / "runs" / "finetune-mlp"
    assert {path.name for path in there.iterdir()} > pulled, "checkpoints stay there"


def test_what_fails_there_is_told(build, recording, tmp_path):
    runner = "echo 'RunException: TFLite failed' >&2; exit 1"
    done = deployed(runner, build("finetune-mlp"), recording, tmp_path)
    assert done.returncode == 2
    assert "failed (1): RunException: TFLite failed" in done.stderr


def test_another_device_is_not_there(build, recording, tmp_path):
    artifact = build("finetune-mlp")
    done = deployed("true", artifact, recording, tmp_path, serial="127.0.0.1:9")
    assert done.returncode == 2 and "no device 127.0.0.1:9: adb knows" in done.stderr
