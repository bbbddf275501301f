"""What the builds need from Maven Central: pinned by sha256, kept in the user's cache.

`android_harness/downloads.tsv` names each one once; Maven brings it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Iterator

from tools.android import commands
from tools.android.commands import BuildError

PINS = pathlib.Path(__file__).parents[2] / "android_harness" / "downloads.tsv"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


class UnreachableError(BuildError):
    """A download is not in the cache, and cannot be had now."""


@dataclasses.dataclass(frozen=True)
class Pin:
    """A file on Maven Central.

    Attributes:
      name: by which the builds ask for it.
      coordinate: group:artifact:version, and :packaging unless it is a jar.
      sha256: of the file, in hexadecimal digits.
    """

    name: str
    coordinate: str
    sha256: str

    @property
    def file(self) -> str:
        """Returns the file's name."""
        _, artifact, version, *packaging = self.coordinate.split(":")
        return f"{artifact}-{version}.{(packaging or ['jar'])[0]}"

    @property
    def version(self) -> str:
        """Returns the third part of the coordinate."""
        return self.coordinate.split(":")[2]


def pins(path: pathlib.Path = PINS) -> dict[str, Pin]:
    """Returns every pin by its name."""
    lines = path.read_text().splitlines()
    found = [Pin(*line.split("\t")) for line in lines if not line.startswith("#")]
    return {pin.name: pin for pin in found}


def cache() -> pathlib.Path:
    """Returns the folder for it: in `$XDG_CACHE_HOME`, or in `~/.cache`."""
    usual = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(usual) / "tflite_odl" / "android"


def get(name: str) -> pathlib.Path:
    """Returns the file of a pin, downloaded if it is not in the cache.

    Raises:
      UnreachableError: it cannot be had.
      BuildError: it is not the file that was pinned.
    """
    pin = pins()[name]
    path = cache() / pin.sha256[:16] / pin.file
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        copy = (f"-Dartifact={pin.coordinate}", f"-DoutputDirectory={work}")
        try:
            commands.run("mvn", "-q", "-B", f"{_PLUGIN}:copy", *copy)
        except BuildError as error:
            told = f"cannot download {pin.coordinate}: {error}"
            raise UnreachableError(told) from error
        fresh = pathlib.Path(work) / pin.file
        found = hashlib.sha256(fresh.read_bytes()).hexdigest()
        if found != pin.sha256:
            raise BuildError(
                f"{pin.coordinate} is not what {PINS.name} pins: its sha256 is "
                f"{found}, expected {pin.sha256}"
            )
        os.replace(fresh, path)
    return path


def classpath(pom: pathlib.Path) -> list[pathlib.Path]:
    """Returns the jars of a POM's dependencies, and of theirs, from Maven's own cache.

    Raises:
      UnreachableError: they cannot be had.
    """
    with tempfile.TemporaryDirectory() as work:
        to = pathlib.Path(work) / "classpath"
        asked = ("-f", pom, f"{_PLUGIN}:build-classpath", f"-Dmdep.outputFile={to}")
        try:
            commands.run("mvn", "-q", "-B", *asked)
        except BuildError as error:
            raise UnreachableError(f"no dependencies of {pom}: {error}") from error
        return [pathlib.Path(name) for name in to.read_text().split(os.pathsep)]


def classes(name: str) -> pathlib.Path:
    """Returns the jar of the classes in an AAR, unpacked once beside it."""
    archive = get(name)
    path = archive.with_suffix(".classes.jar")
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=archive.parent) as work:
            with zipfile.ZipFile(archive) as packed:
                fresh = packed.extract("classes.jar", work)
            os.replace(fresh, path)
    return path


def libraries(name: str, abis: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yields (ABI/file, content) of the native libraries in an AAR.

    Raises:
      BuildError: the AAR has none for one of the ABIs.
    """
    with zipfile.ZipFile(get(name)) as packed:
        for abi in abis:
            found = [n for n in packed.namelist() if n.startswith(f"jni/{abi}/")]
            if not found:
                raise BuildError(f"{get(name).name} has no library for {abi}")
            for entry in found:
                yield entry.removeprefix("jni/"), packed.read(entry)
