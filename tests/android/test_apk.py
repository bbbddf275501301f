"""The app and the library as built without Gradle, read from what was built."""

from __future__ import annotations

import pathlib
import re
import shutil
import zipfile

import pytest

import tflite_odl
from tests.android.needs import needs, pinned
from tools.android import (
    aar,
    apk,
    archives,
    checks,
    commands,
    compiling,
    dexfile,
    downloads,
)
from tools.android.commands import BuildError

ROOT = pathlib.Path(__file__).parents[2]
JAVA = ("java", "javac")
PACKAGING = ("aapt2", "zipalign", "apksigner", "keytool")
RUNTIME = ("tflite", "tflite-api")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """The app for one ABI, with something in place of an artifact."""
    pinned("android", "dx", *RUNTIME)
    folder = tmp_path_factory.mktemp("apk")
    (folder / "artifact").mkdir()
    (folder / "artifact" / "manifest.json").write_text("{}")
    (folder / "artifact" / "model.tflite").write_bytes(bytes(5000))
    to = folder / "app.apk"
    apk.build(to, apk.Contents(("arm64-v8a",), folder / "artifact"))
    return to


@pytest.fixture(scope="module")
def report(built) -> dict:
    return checks.check(built)


@needs(*JAVA, *PACKAGING)
def test_the_app_keeps_what_is_promised(built, report):
    assert report["schemes"] == ["v2", "v3"]
    assert report["classes"]["defined"] > 100
    assert not report["allow_backup"]
    assert report["permissions"] == [
        "android.permission.FOREGROUND_SERVICE",
        "android.permission.FOREGROUND_SERVICE_DATA_SYNC",
        "android.permission.POST_NOTIFICATIONS",
    ]
    (library,) = report["libraries"]
    assert library["offset"] % archives.PAGE_BYTES == 0
    assert library["page_bytes"] == 4096, "TFLite 2.16.1: BUILD.md says so"
    with zipfile.ZipFile(built) as archive:
        assert archive.read(apk.ARTIFACT + "model.tflite") == bytes(5000)


@needs(*JAVA, *PACKAGING)
@pytest.mark.parametrize(
    "changed, told",
    [
        ({"permissions": ["android.permission.INTERNET"]}, "asks for the network"),
        ({"allow_backup": True}, "back up"),
        ({"classes": {"unresolved": ["a/B"]}}, "classes that are nowhere: a/B"),
        ({"bytes_per_abi": {"x86_64": 7_000_000}}, "7000000 bytes for x86_64"),
        ({"libraries": [{"name": "l.so", "offset": 4096}]}, "not on a page boundary"),
    ],
)
def test_an_app_that_breaks_a_rule(report, changed, told):
    with pytest.raises(BuildError, match=told):
        checks.judge({**report, **changed})


@needs(*JAVA)
@needs("readelf")
def test_pages_are_what_readelf_says(tmp_path):
    pinned("tflite")
    for name, content in downloads.libraries("tflite", ("arm64-v8a", "x86_64")):
        (tmp_path / "l.so").write_bytes(content)
        lines = commands.run("readelf", "-lW", tmp_path / "l.so")
        pages = [int(x, 16) for x in re.findall(r"LOAD .* (0x[0-9a-f]+)$", lines, re.M)]
        assert len(pages) > 1 and checks.page_bytes(content) == min(pages), name


def readme_sample() -> str:
    text = (ROOT / "README.md").read_text()
    (found,) = re.findall(r"```java\n(.*?)```", text, re.DOTALL)
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> pathlib.Path:
    """The AAR, its Maven folder beside it."""
    pinned("android", "dx", *RUNTIME)
    return aar.build(tmp_path_factory.mktemp("aar"))


@needs(*JAVA)
def test_the_sample_of_the_readme_is_an_app(library, tmp_path):
    """README shows the sample's file, which needs the AAR and TFLite alone."""
    (source,) = compiling.sources("sample")
    assert readme_sample() in source.read_text()
    with zipfile.ZipFile(library) as archive:
        archive.extract("classes.jar", tmp_path)
    jars = [tmp_path / "classes.jar", *map(downloads.classes, RUNTIME)]
    compiling.javac([source], [*jars, downloads.get("android")], tmp_path / "sample")
    compiling.dex([tmp_path / "sample", *jars], tmp_path / "classes.dex")
    found = dexfile.read((tmp_path / "classes.dex").read_bytes())
    assert checks.unresolved(found) == []
    assert "com/example/learn/LearnActivity" in found.defined
    alone = tmp_path / "alone.dex"
    compiling.dex([tmp_path / "sample"], alone)
    missing = checks.unresolved(dexfile.read(alone.read_bytes()))
    assert "org/tfliteodl/android/Phone" in missing, "a class that is nowhere is found"


@needs(*JAVA)
def test_a_maven_folder_names_the_runtime(library):
    (pom,) = (library.parent / "maven").rglob("*.pom")
    assert "<artifactId>tensorflow-lite</artifactId>" in pom.read_text()
    assert pom.with_suffix(".aar").read_bytes() == library.read_bytes()
    with zipfile.ZipFile(library) as archive:
        assert "package=" in archive.read("AndroidManifest.xml").decode()
        assert "R.txt" in archive.namelist()
        assert b"org/tensorflow/lite/Interpreter.class" not in archive.read(
            "classes.jar"
        )


def test_archives_are_aligned_and_equal(tmp_path):
    entries = {"b.so": b"x" * 5000, "a/é.txt": b"text", "c.so": b"y", "r.arsc": b"zz"}
    for name in ("one.zip", "two.zip"):
        archives.write(tmp_path / name, entries)
    one, two = ((tmp_path / n).read_bytes() for n in ("one.zip", "two.zip"))
    assert one == two
    found = archives.offsets(tmp_path / "one.zip")
    for name, unit in (("b.so", 16384), ("c.so", 16384), ("r.arsc", 4)):
        assert found[name] % unit == 0
        assert one[found[name] :].startswith(entries[name])
    assert "a/é.txt" not in found, "what is compressed is not mapped"
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert {n: archive.read(n) for n in archive.namelist()} == entries
    if shutil.which("zipalign"):
        commands.run("zipalign", "-c", "-p", "4", tmp_path / "one.zip")


def test_a_download_that_is_another_file(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "cache", lambda: tmp_path)

    def brings(tool: str, *words: str) -> str:
        folder = words[-1].partition("=")[2]
        (pathlib.Path(folder) / downloads.pins()["dx"].file).write_bytes(b"another")
        return ""

    monkeypatch.setattr(commands, "run", brings)
    with pytest.raises(BuildError, match="is not what downloads.tsv pins"):
        downloads.get("dx")
    assert not list(tmp_path.rglob("*.jar"))


def test_a_tool_that_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match="apt install aapt"):
        commands.run("aapt2", "version")


def test_no_dex_file():
    with pytest.raises(ValueError, match="no dex file"):
        dexfile.read(b"PK\3\4 and so on")


def test_gradle_builds_the_same():
    """What Android Studio is told agrees with what is built without it."""
    gradle = (compiling.HARNESS / "app" / "build.gradle.kts").read_text()
    told = dict(re.findall(r"(\w+) = \"?([\w.]+)\"?\n", gradle))
    assert told["applicationId"] == told["namespace"] == apk.APP
    assert told["minSdk"] == str(compiling.OLDEST_API)
    assert told["targetSdk"] == str(apk.TARGET_API)
    assert told["versionName"] == tflite_odl.__version__
    assert all(f'"{abi}"' in gradle for abi in apk.ABIS)
    library = (compiling.HARNESS / "library" / "build.gradle.kts").read_text()
    assert "../core/src/main/java" in library
    assert f"minSdk = {compiling.OLDEST_API}" in library
