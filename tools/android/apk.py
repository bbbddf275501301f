"""The app as a signed debug APK, without Gradle and without Google's Maven repository.

aapt2 links resources and manifest, javac and dx compile, the archive is written with
its libraries on page boundaries, and apksigner signs it with a key of this machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Iterator

import tflite_odl
from tflite_odl.deploy.deploying import ABOUT
from tools.android import archives, commands, compiling, downloads
from tools.android.commands import BuildError
from tools.android.compiling import HARNESS

APP = "org.tfliteodl.app"
PARTS = ("core", "library", "app")
TARGET_API = 34
ABIS = ("arm64-v8a", "x86_64")
LIBRARIES, ARTIFACT, STREAM = "lib/", "assets/artifact/", "assets/stream/"
_PASSWORD, _KEY = "android", "debug"


@dataclasses.dataclass(frozen=True)
class Contents:
    """What goes into an APK beside the app.

    Attributes:
      abis: whose native libraries.
      artifact: a folder of an artifact that the app comes with; None: there is none,
        and one is pushed.
      stream: a packed stream file, likewise.
    """

    abis: tuple[str, ...] = ABIS
    artifact: pathlib.Path | None = None
    stream: pathlib.Path | None = None


def build(to: pathlib.Path, contents: Contents) -> None:
    """Writes the APK; a file that was there is replaced by a whole one.

    Raises:
      BuildError: a tool is missing or failed, or there is no such artifact.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        work = pathlib.Path(folder)
        entries = {
            **linked(work),
            "classes.dex": dexed(work),
            **dict(_native(contents.abis)),
            **dict(_assets(contents)),
            ABOUT: json.dumps(_about(), indent=1).encode(),
        }
        archives.write(work / "unsigned.apk", entries)
        _sign(work / "unsigned.apk", work / "signed.apk")
        os.replace(work / "signed.apk", to)


def linked(work: pathlib.Path) -> dict[str, bytes]:
    """Returns the binary manifest and the resources.

    Leaves in `work` AndroidManifest.xml, linked.apk, and R.java below gen.
    """
    app = HARNESS / "app" / "src" / "main"
    manifest = work / "AndroidManifest.xml"
    # Gradle takes the package from its own files, and wants none here.
    text = (app / "AndroidManifest.xml").read_text()
    manifest.write_text(text.replace("<manifest ", f'<manifest package="{APP}" ', 1))
    commands.run("aapt2", "compile", "--dir", app / "res", "-o", work / "res.zip")
    commands.run(
        "aapt2",
        *("link", "--debug-mode", "-I", downloads.get("android")),
        *("--manifest", manifest, "--java", work / "gen", "-o", work / "linked.apk"),
        *("--min-sdk-version", compiling.OLDEST_API),
        *("--target-sdk-version", TARGET_API),
        *("--version-code", "1", "--version-name", tflite_odl.__version__),
        work / "res.zip",
    )
    with zipfile.ZipFile(work / "linked.apk") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def dexed(work: pathlib.Path) -> bytes:
    """Returns the dex file, after `linked`; leaves the app's classes in `work`."""
    runtime = [downloads.classes(name) for name in ("tflite", "tflite-api")]
    files = compiling.sources(*PARTS) + sorted((work / "gen").rglob("*.java"))
    classpath = [downloads.get("android"), *runtime]
    compiling.javac(files, classpath, work / "classes")
    compiling.dex([work / "classes", *runtime], work / "classes.dex")
    return (work / "classes.dex").read_bytes()


def _native(abis: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name, content in downloads.libraries("tflite", abis):
        yield LIBRARIES + name, content


def _assets(contents: Contents) -> Iterator[tuple[str, bytes]]:
    folder = contents.artifact
    if folder is not None:
        if not (folder / "manifest.json").is_file():
            raise BuildError(f"{folder} is no artifact: it has no manifest.json")
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            yield ARTIFACT + path.relative_to(folder).as_posix(), path.read_bytes()
    if contents.stream is not None:
        yield STREAM + contents.stream.name, contents.stream.read_bytes()


def _about() -> dict[str, str]:
    """Returns what the APK says of itself to those who deploy it."""
    runtime = downloads.pins()["tflite"].version
    return {"runtime": runtime, "version": tflite_odl.__version__}


def _sign(unsigned: pathlib.Path, to: pathlib.Path) -> None:
    key = downloads.cache() / "debug.p12"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        _make_key(key)
    commands.run(
        "apksigner",
        *("sign", "--ks", key, "--ks-pass", f"pass:{_PASSWORD}"),
        *("--ks-key-alias", _KEY, "--out", to, unsigned),
    )


def _make_key(to: pathlib.Path) -> None:
    """Makes the key of this machine's debug builds, as Android Studio does."""
    with tempfile.TemporaryDirectory(dir=to.parent) as work:
        fresh = pathlib.Path(work) / to.name
        commands.run(
            "keytool",
            *("-genkeypair", "-keystore", fresh, "-storetype", "PKCS12"),
            *("-storepass", _PASSWORD, "-alias", _KEY, "-dname", "CN=Android Debug"),
            *("-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"),
        )
        os.replace(fresh, to)
