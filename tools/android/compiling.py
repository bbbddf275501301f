"""From Java sources to classes, and from classes to a dex file.

The language is Java 8: dx takes nothing newer. On Android 8 (API 26) and above lambdas
and default methods need no more than that.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterable, Sequence

from tools.android import commands, downloads

HARNESS = pathlib.Path(__file__).parents[2] / "android_harness"
OLDEST_API = 26
_WARNINGS = "-Xlint:all,-options,-serial,-processing,-classfile"


def sources(*parts: str) -> list[pathlib.Path]:
    """Returns the Java files of parts of the harness: core, library, app, sample."""
    found = []
    for part in parts:
        found += sorted((HARNESS / part / "src" / "main" / "java").rglob("*.java"))
    return found


def javac(
    files: Sequence[pathlib.Path],
    classpath: Iterable[pathlib.Path],
    to: pathlib.Path,
) -> None:
    """Compiles Java 8 against these jars; warnings are errors.

    Raises:
      BuildError: with the compiler's words.
    """
    paths = ":".join(map(str, classpath))
    options = ("--release", "8", _WARNINGS, "-encoding", "UTF-8")
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(map(str, files)))
        listed.flush()
        commands.run("javac", *options, "-cp", paths, "-d", to, f"@{listed.name}")


def dex(classes: Iterable[pathlib.Path], to: pathlib.Path) -> None:
    """Writes folders and jars of classes as one dex file.

    Raises:
      BuildError: with dx's words.
    """
    options = ("--dex", f"--min-sdk-version={OLDEST_API}", f"--output={to}")
    tool = ("-cp", downloads.get("dx"), "com.android.dx.command.Main")
    commands.run("java", *tool, *options, *classes)
