"""The Java core on this machine: TFLite's Android library behind a desktop's JVM."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.util
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests import conftest
from tflite_odl.desk import places, replay

ROOT = pathlib.Path(__file__).parents[2] / "android_harness"
CORE = ROOT / "core"
SECONDS = 300


def _load(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location("android_runtime", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runtime = _load(ROOT / "desktop" / "runtime.py")
FOLDER = pathlib.Path(conftest.USER_CACHE, "tflite_odl", runtime.usual_folder().name)


def ready() -> pathlib.Path:
    """Returns the folder of the Android runtime; skips, by name, where it cannot be."""
    if lacking := runtime.missing():
        pytest.skip(f"the Java core needs {lacking}")
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with open(FOLDER.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file lets go
        try:
            runtime.set_up(FOLDER)
        except RuntimeError as error:
            pytest.skip(f"no Android runtime on this desktop: {error}")
    return FOLDER


def compiled(folder: pathlib.Path) -> list[str]:
    """Compiles the core into a folder; returns the command that runs it."""
    jars = [str(FOLDER / f"{name}.jar") for name in runtime.AARS]
    sources = map(str, sorted(CORE.glob("src/main/**/*.java")))
    flags = ["--release", "8", "-Xlint:-options", "-cp", ":".join(jars)]
    subprocess.run(
        ["javac", *flags, "-d", str(folder), *sources], check=True, timeout=SECONDS
    )
    return runtime.command(FOLDER, folder)


@dataclasses.dataclass(frozen=True)
class Java(places.Place):
    """The core's command line as a place of the desk."""

    command: tuple[str, ...] = ()

    def run(self, artifact, calls: Sequence[replay.Call], work: pathlib.Path):
        replay.write(work, artifact, calls, self.runtime, self.threads)
        places.run(self.name, [*self.command, "replay", str(work)])
        return replay.read(work)

    def prove(self, artifact: pathlib.Path):
        what = (*self.command, "prove", str(artifact), str(self.threads))
        return places.results(places.run(self.name, what))
