"""Runs a measuring script, maybe in an environment of its own, in a fresh process."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Sequence

MOST_SECONDS = 900
TOOLS = pathlib.Path(__file__).parent


class Failed(Exception):
    """A process ended without its result; says why."""


def run(command: Sequence[object], most_seconds: float = MOST_SECONDS) -> str:
    """Returns what the command prints.

    Raises:
      Failed: with the last line of its errors.
    """
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    # A script finds its own folder by itself; the package may not be installed there.
    paths = os.pathsep.join(map(str, (TOOLS, TOOLS.parent)))
    environment = {**os.environ, **quiet, "PYTHONPATH": paths}
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
        found = done.stderr.strip().splitlines()
        lines = [line for line in found if not line.startswith("INFO:")]
        lines = lines or ["no message"]
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
