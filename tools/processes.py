"""Runs a measuring script, maybe in an environment of its own, in a fresh process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

from tflite_odl.commands import quiet

MOST_SECONDS = 900
TOOLS = pathlib.Path(__file__).parent
PACKAGES = ("tensorflow", "tf_keras", "ai-edge-litert", "numpy")
PLOTTING = ("matplotlib>=3.8,<4",)


class Failed(Exception):
    """A process ended without its result; says why."""


def run(command: Sequence[object], most_seconds: float = MOST_SECONDS) -> str:
    """Returns what the command prints.

    Raises:
      Failed: with the last line of its errors.
    """
    calm = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    # A script finds its own folder by itself; the package may not be installed there.
    paths = os.pathsep.join(map(str, (TOOLS, TOOLS.parent)))
    environment = {**os.environ, **calm, "PYTHONPATH": paths}
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env=environment,
            timeout=most_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no end after {most_seconds:g} s") from error
    if done.returncode:
        # LiteRT's notes come after Python's last word.
        found = quiet.without_notes(done.stderr).strip()
        lines = found.splitlines() or ["no message"]
        raise Failed(f"exit {done.returncode}: {lines[-1][:300]}")
    return done.stdout


def measure(command: Sequence[object], most_seconds: float = MOST_SECONDS) -> dict:
    """Returns the record that an engine's script prints last.

    Raises:
      Failed: it printed none.
    """
    lines = run(command, most_seconds).strip().splitlines() or [""]
    try:
        return json.loads(lines[-1])
    except ValueError as error:
        raise Failed(f"no record but {lines[-1][:300]!r}") from error


def machine() -> str:
    """Returns the processor's name and its cores."""
    with open("/proc/cpuinfo") as file:
        found = (line.split(":")[1].strip() for line in file if "model name" in line)
        name = next(found, "unknown processor")
    return f"{name}, {os.cpu_count()} cores"


def fingerprint() -> str:
    """Returns what tells the library's sources and the packages from other ones."""
    found = hashlib.sha256()
    for path in sorted((TOOLS.parent / "tflite_odl").rglob("*.py")):
        found.update(path.read_bytes())
    found.update(" ".join(versions()).encode())
    return found.hexdigest()[:12]


def versions() -> list[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]


def python(
    folder: pathlib.Path, name: str, packages: tuple[str, ...], say: Callable
) -> str:
    """Returns the Python of an environment with the packages, made if need be.

    Raises:
      OSError: they cannot be installed here; says why.
    """
    if not packages:
        return sys.executable
    wanted, ready = "\n".join(packages), folder / name / "ready"
    path = str(folder / name / "bin" / "python")
    if ready.exists() and ready.read_text() == wanted:
        return path
    say(f"make an environment with {', '.join(packages)}")
    for command in (
        [sys.executable, "-m", "venv", folder / name],
        [path, "-m", "pip", "install", "-q", *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
            raise OSError(lines[-1] if lines else f"{name}: no environment")
    ready.write_text(wanted)
    return path
