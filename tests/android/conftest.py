"""What the tests of the harness and of deploying share."""

from __future__ import annotations

import pathlib

import pytest

from tests.android.fake_phone import FakePhone


@pytest.fixture
def phone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A phone that is well, behind an adb server of its own."""
    pytest.importorskip("adbutils", reason="adbutils is not installed")
    found = FakePhone(tmp_path / "phone")
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(found.port))
    yield found
    found.close()
