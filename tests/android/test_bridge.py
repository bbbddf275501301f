"""What goes wrong between desk and phone is said by its name."""

from __future__ import annotations

import pytest

from tests.android.fake_phone import SERIAL, FakePhone
from tflite_odl.deploy import bridge, facts
from tflite_odl.deploy.app import PACKAGE, App
from tflite_odl.errors import DeviceError


def test_a_device_is_read(phone: FakePhone):
    assert facts.read(bridge.connect()) == facts.Facts(
        model="Acme Phone 9",
        abis=("arm64-v8a", "armeabi-v7a"),
        api=34,
        memory_mb=7800000 / 1024,
        available_mb=3900000 / 1024,
        cores=8,
        storage_mb=20_000_000 / 1024,
        thermal="none",
        battery=80,
        charging=True,
    )


def test_a_device_without_android_is_read(phone: FakePhone):
    for name in ("getprop", "dumpsys"):
        phone.command(name, "echo not found; exit 127")
    phone.command("uname", 'case "$1" in -m) echo aarch64;; *) echo box;; esac')
    found = facts.read(bridge.connect())
    assert (found.model, found.abis, found.api) == ("box", ("arm64-v8a",), None)
    assert (found.thermal, found.battery, found.charging) == (None, None, None)


def test_what_slows_a_device_down_is_noted(phone: FakePhone):
    phone.file("battery", "  AC powered: false\n  level: 12\n")
    phone.file("thermal", "Thermal Status: 3\n")
    warm, low = facts.read(bridge.connect()).notes
    assert "severe" in warm and "12 %" in low


@pytest.mark.parametrize(
    "states, serial, told",
    [
        ({}, None, "no device: connect a phone"),
        ({SERIAL: "device", "B": "device"}, None, "several devices, name one"),
        ({SERIAL: "unauthorized"}, None, "unauthorised: unlock it and allow"),
        ({SERIAL: "offline"}, None, "offline: plug it in"),
        ({SERIAL: "no permissions"}, None, "no permissions for its USB port"),
        ({SERIAL: "device"}, "OTHER", "no device OTHER: adb knows FAKE123"),
        ({SERIAL: "recovery"}, SERIAL, "in state 'recovery'"),
    ],
)
def test_a_device_that_cannot_be_used(phone: FakePhone, states, serial, told):
    phone.states = states
    with pytest.raises(DeviceError, match=told):
        bridge.connect(serial)


def test_one_of_several_is_named(phone: FakePhone):
    phone.states["emulator-5554"] = "offline"
    assert bridge.connect(SERIAL).serial == SERIAL


@pytest.mark.parametrize("state", ["offline", "unauthorized"])
def test_a_device_that_goes_away(phone: FakePhone, state):
    device = bridge.connect()
    phone.states[SERIAL] = state
    with pytest.raises(DeviceError, match=state[:8]):
        device.run("true")
    del phone.states[SERIAL]
    with pytest.raises(DeviceError, match="not found"):
        device.run("true")


def test_a_connection_that_is_cut(phone: FakePhone):
    device = bridge.connect()
    phone.cut = lambda command: "meminfo" in command
    with pytest.raises(DeviceError, match="connection lost or refused"):
        facts.read(device)


def test_no_adb_at_all(phone: FakePhone, monkeypatch, tmp_path):
    phone.close()
    adb = tmp_path / "adb"
    adb.write_text("#!/bin/sh\nexit 1\n")
    adb.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(adb))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with pytest.raises(DeviceError, match="the adb server"):
        bridge.connect()


@pytest.mark.parametrize(
    "said, told",
    [
        ("INSTALL_FAILED_NO_MATCHING_ABIS: res=-113", "wrong ABI.*arm64-v8a"),
        ("INSTALL_FAILED_OLDER_SDK: Requires newer", "too old"),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", "no space"),
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: x", f"adb uninstall {PACKAGE}"),
        ("INSTALL_PARSE_FAILED_NO_CERTIFICATES", "NO_CERTIFICATES"),
    ],
)
def test_an_apk_that_is_refused(phone: FakePhone, tmp_path, said, told):
    phone.command("pm", f'echo "Failure [{said}]"; exit 1')
    apk = tmp_path / "app.apk"
    apk.write_bytes(b"zip")
    with pytest.raises(DeviceError, match=told):
        App(bridge.connect(), "r").install(apk)
    assert not list(phone.root.glob("data/local/tmp/**/*.apk")), "it was left there"


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"api": 25}, "too old: API 25, the app needs 26"),
        (
            {"abis": ("armeabi-v7a",)},
            "wrong ABI: it runs armeabi-v7a, the APK has arm64",
        ),
        ({"storage_mb": 10.0}, "no space: 10 MB are free, 20 MB"),
    ],
)
def test_a_device_that_does_not_fit(changed, told):
    whole = {"model": "x", "abis": ("arm64-v8a",), "api": 30, "storage_mb": 99.0}
    device = facts.Facts(**whole)
    assert facts.check(device, ("arm64-v8a", "x86_64"), 26, 20.0) == "arm64-v8a"
    device = facts.Facts(**{**whole, **changed})
    with pytest.raises(DeviceError, match=told):
        facts.check(device, ("arm64-v8a", "x86_64"), 26, 20.0)


def test_files_reach_the_apps_own_storage(phone: FakePhone):
    app = App(bridge.connect(), "r")
    app.bridge.install(_apk(phone), PACKAGE)
    content = bytes(range(256)) * 300
    app.put({"artifacts/a b/model.tflite": content, "streams/s": b""})
    assert phone.private("files/artifacts/a b/model.tflite").read_bytes() == content
    assert phone.private("files/streams/s").read_bytes() == b""
    assert not (phone.root / "data/local/tmp/tflite_odl/passing").exists()


def _apk(phone: FakePhone):
    return phone.file("../some.apk", "zip")


def test_a_full_device(phone: FakePhone):
    app = App(bridge.connect(), "r")
    app.bridge.install(_apk(phone), PACKAGE)
    phone.command("run-as", "echo 'cat: write: No space left on device'; exit 1")
    with pytest.raises(DeviceError, match="no space"):
        app.put({"streams/s": b"x"})
