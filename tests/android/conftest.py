"""What the tests of the harness and of deploying share."""

from __future__ import annotations

import pathlib

import pytest

from tests.android.fake_phone import FakePhone
from tests.conftest import USER_CACHE
from tools.android import downloads


@pytest.fixture(autouse=True, scope="session")
def user_cache():
    """Downloads are taken from the user's cache, and left there."""
    with pytest.MonkeyPatch.context() as patch:
        place = pathlib.Path(USER_CACHE) / "tflite_odl" / "android"
        patch.setattr(downloads, "cache", lambda: place)
        yield


@pytest.fixture
def phone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A phone that is well, behind an adb server of its own."""
    pytest.importorskip("adbutils", reason="adbutils is not installed")
    found = FakePhone(tmp_path / "phone")
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(found.port))
    yield found
    found.close()
