"""Runs the build's tools, and says which Debian package brings one that is missing."""

from __future__ import annotations

import shutil
import subprocess

from tflite_odl.errors import OdlError

MOST_SECONDS = 600
PACKAGES = {
    "mvn": "maven",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "keytool": "default-jdk-headless",
    "aapt2": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
}


class BuildError(OdlError):
    """The Android harness cannot be built: a tool is missing or has failed."""


def missing(*tools: str) -> list[str]:
    """Returns those of the tools that are not installed."""
    return [tool for tool in tools if shutil.which(tool) is None]


def run(tool: str, *arguments: object) -> str:
    """Runs a tool to its end; returns what it prints.

    Raises:
      BuildError: it is not installed, failed, or did not end; with its last words.
    """
    if missing(tool):
        raise BuildError(
            f"{tool} is not installed: apt install {PACKAGES.get(tool, tool)}"
        )
    try:
        done = subprocess.run(
            [tool, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{tool} did not end within {MOST_SECONDS} s") from error
    if done.returncode:
        said = (done.stderr.strip() + "\n" + done.stdout.strip()).strip()
        raise BuildError(f"{tool} failed with {done.returncode}: {said[-2000:]}")
    return done.stdout
