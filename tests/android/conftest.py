"""What the tests of the harness and of deploying share."""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import pytest

from tests.android import java
from tests.android.fake_phone import FakePhone
from tests.android.needs import pinned
from tests.conftest import USER_CACHE
from tflite_odl.deploy import stream
from tflite_odl.streams.dataset import Dataset, Split
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


@pytest.fixture
def files(build, tmp_path) -> pathlib.Path:
    """An app's storage with an artifact and a stream of 8 batches of 6."""
    root = tmp_path / "files"
    shutil.copytree(build("finetune-mlp"), root / "artifacts" / "mlp")
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 60).astype(np.int32)
    x = (draw.normal(size=(60, 4)) + y[:, None]).astype(np.float32)
    dataset = Dataset(
        "rows", ("a", "b", "c"), Split(x, y), Split(x[:20], y[:20]), 1.0, 0.0
    )
    rows = stream.lay_out(dataset, 8, 6, 0, "shuffled")
    stream.write(root / "streams" / "rows", dataset, rows)
    return root
