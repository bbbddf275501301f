"""Runs an engine's script in its environment, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence

from environments import HERE

MOST_SECONDS = 900


class Failed(Exception):
    """A process ended without its result; says why."""


def run(command: Sequence[object], most_seconds: float = MOST_SECONDS) -> str:
    """Returns what the command prints.

    Raises:
      Failed: with the last line of its errors.
    """
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    paths = os.pathsep.join(map(str, (HERE, HERE.parents[1])))
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
