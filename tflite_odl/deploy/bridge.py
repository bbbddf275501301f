"""One device, through the adb server of this machine."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

from tflite_odl.errors import DeviceError

MOST_SECONDS = 120.0
# Where adb's shell may write on every device.
SHARED = "/data/local/tmp/tflite_odl"
_INSTALL = "pip install 'tflite_odl[android]'"
# Why the package manager refuses an APK, and what to do.
_REFUSALS = {
    "NO_MATCHING_ABIS": "wrong ABI: the APK has no library for its processor; build "
    "one for {abis} (tools/apk.py --abis)",
    "OLDER_SDK": "too old: the app needs a newer Android",
    "INSUFFICIENT_STORAGE": "no space: free some of its storage",
    "UPDATE_INCOMPATIBLE": "an app of that name with another key is installed: "
    "adb uninstall {package}",
    "VERSION_DOWNGRADE": "a newer version is installed: adb uninstall {package}",
    "USER_RESTRICTED": "it does not allow to install over USB: see its developer "
    "options",
}


def connect(serial: str | None = None) -> Bridge:
    """Returns the device of that serial, or the only one.

    Raises:
      DeviceError: there is no adb or no such device, there are several, or it is
        unauthorised or offline; what to do is said.
    """
    try:
        import adbutils
    except ImportError as error:
        raise DeviceError(f"a phone is reached through adbutils: {_INSTALL}") from error
    client = adbutils.AdbClient()
    with _told("the adb server"):
        known = {one.serial: one.state for one in client.list()}
    chosen = _chosen(known, serial)
    _check_state(chosen, known[chosen])
    return Bridge(client.device(chosen))


def _chosen(known: dict[str, str], serial: str | None) -> str:
    listed = ", ".join(f"{name} ({state})" for name, state in sorted(known.items()))
    if serial is not None:
        if serial not in known:
            raise DeviceError(f"no device {serial}: adb knows {listed or 'none'}")
        return serial
    if not known:
        raise DeviceError(
            "no device: connect a phone, and allow USB debugging in its developer "
            "options"
        )
    if len(known) > 1:
        raise DeviceError(f"several devices, name one by --serial: {listed}")
    return next(iter(known))


def _check_state(serial: str, state: str) -> None:
    told = {
        "unauthorized": "unauthorised: unlock it and allow this computer to debug it",
        "offline": "offline: plug it in again, or `adb reconnect offline`",
        "no": "there are no permissions for its USB port: see udev's rules",
    }
    if state != "device":
        raise DeviceError(f"{serial} is {told.get(state, f'in state {state!r}')}")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turns what adbutils and sockets raise into a DeviceError."""
    from adbutils import AdbError

    try:
        yield
    except (subprocess.SubprocessError, FileNotFoundError) as error:
        raise DeviceError(f"{what} cannot be started: {error}") from error
    except (AdbError, OSError, EOFError, AssertionError, struct.error) as error:
        # AssertionError, struct.error: adbutils, of an answer that was cut.
        said = str(error) or type(error).__name__
        for sign in ("offline", "unauthorized"):
            if sign in said:
                _check_state(what, sign)
        raise DeviceError(f"{what}: connection lost or refused: {said}") from error


class Bridge:
    """A device that answers.

    Attributes:
      serial: by which adb knows it.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self.serial: str = device.serial

    def ask(self, *words: str, most_seconds: float = MOST_SECONDS) -> tuple[int, str]:
        """Runs a command in the device's shell; returns exit code and output."""
        with _told(self.serial):
            done = self._device.shell2(shlex.join(words), timeout=most_seconds, v2=True)
        return done.returncode, done.output.replace("\r\n", "\n").strip()

    def run(self, *words: str, most_seconds: float = MOST_SECONDS) -> str:
        """Runs a command that must succeed; returns its output.

        Raises:
          DeviceError: it failed; with its last words.
        """
        code, output = self.ask(*words, most_seconds=most_seconds)
        if code:
            if "No space left" in output:
                raise DeviceError(f"{self.serial}: no space: {output[-200:]}")
            what = shlex.join(words)[:120]
            raise DeviceError(f"{self.serial}: {what} failed ({code}): {output[-400:]}")
        return output

    def shell(self, line: str) -> str:
        """Runs a line of shell, with pipes and all, that must succeed."""
        return self.run("sh", "-c", line)

    def push(self, content: bytes | pathlib.Path, to: str) -> None:
        """Writes a file on the device; its folder is there.

        Raises:
          DeviceError: it did not arrive whole.
        """
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        with _told(self.serial):
            self._device.sync.push(content, to, 0o644)
            arrived = self._device.sync.stat(to).size
        if arrived != size:
            raise DeviceError(
                f"{self.serial}: {arrived} of {size} bytes arrived at {to}: no space?"
            )

    def pull(self, path: str) -> bytes:
        """Returns a file of the device.

        Raises:
          DeviceError: it is not there, or the connection was lost.
        """
        with _told(self.serial):
            return self._device.sync.read_bytes(path)

    def install(self, apk: pathlib.Path, package: str) -> None:
        """Installs an APK, in place of an older one.

        Raises:
          DeviceError: it was refused, and why.
        """
        place = f"{SHARED}/app.apk"
        self.run("mkdir", "-p", SHARED)
        self.push(apk, place)
        code, output = self.ask("pm", "install", "-r", "-t", place)
        self.run("rm", "-f", place)
        if code or "Success" not in output:
            raise DeviceError(f"{self.serial}: {self._refusal(output, package)}")

    def _refusal(self, output: str, package: str) -> str:
        for sign, told in _REFUSALS.items():
            if sign in output:
                abis = self.ask("getprop", "ro.product.cpu.abilist")[1]
                return told.format(abis=abis or "its ABI", package=package)
        return f"the app was not installed: {output[-400:]}"
