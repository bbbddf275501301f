"""What the tests of the harness and of deploying share."""

from __future__ import annotations

import pathlib

import pytest

from tests.android import java
from tests.android.fake_phone import FakePhone
from tests.android.needs import pinned
from tests.conftest import USER_CACHE
from tools.android import compiling, downloads


@pytest.fixture(autouse=True, scope="session")
def user_cache():
    """Downloads are taken from the user's cache, and left there."""
    with pytest.MonkeyPatch.context() as patch:
        place = pathlib.Path(USER_CACHE) / "tflite_odl" / "android"
        patch.setattr(downloads, "cache", lambda: place)
        yield


@pytest.fixture(scope="session")
def library_classes(user_cache, tmp_path_factory) -> pathlib.Path:
    """Core and the library's run package, compiled without Android."""
    runtime = ("tflite", "tflite-api")
    pinned(*runtime)
    to = tmp_path_factory.mktemp("library")
    sources = compiling.sources("core", "library")
    files = [path for path in sources if path.parent.name != "android"]
    compiling.javac(files, map(downloads.classes, runtime), to)
    return to


@pytest.fixture
def library(library_classes) -> list[str]:
    """What runs `org.tfliteodl.run.Main`, by TFLite's Android library behind a shim."""
    command = java.runtime.command(java.ready(), library_classes)
    return [*command[:-1], "org.tfliteodl.run.Main"]


@pytest.fixture
def phone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A phone that is well, behind an adb server of its own."""
    pytest.importorskip("adbutils", reason="adbutils is not installed")
    found = FakePhone(tmp_path / "phone")
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(found.port))
    yield found
    found.close()
