"""An adb server with phones behind it, made of this machine's shell and a folder.

It speaks adb's host protocol (host:devices, host:tport, shell, shell v2, sync) as far
as adbutils asks. A phone's commands (getprop, pm, am, run-as, ...) are small scripts in
a folder that comes first in its PATH; its /data, /proc and /sys lie in that folder.
"""

from __future__ import annotations

import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Callable

SERIAL = "FAKE123"
MEMINFO = "MemTotal:        7800000 kB\nMemAvailable:    3900000 kB\n"
BATTERY = "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n"
PROPERTIES = {
    "ro.product.manufacturer": "Acme",
    "ro.product.model": "Phone 9",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.build.version.sdk": "34",
}
_FOLDERS = re.compile(r"/(data|proc|sys)(?=/)")


class FakePhone:
    """A server with one phone; `states` may name others, or take this one away.

    Attributes:
      root: the phone's files.
      states: what `adb devices` says of each.
      port: of the server.
      asked: every command of the shell.
      cut: closes the connection where it says so of a command.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.states = {SERIAL: "device"}
        self.asked: list[str] = []
        self.cut: Callable[[str], bool] = lambda command: False
        for folder in ("bin", "props", "data/local/tmp", "proc", "sys/devices/system"):
            (root / folder).mkdir(parents=True)
        self._furnish()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def command(self, name: str, script: str) -> None:
        """Makes a command of the phone."""
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def property(self, name: str, value: str) -> None:
        (self.root / "props" / name).write_text(value)

    def file(self, place: str, content: str) -> pathlib.Path:
        """Makes a file of the phone; returns where it lies here."""
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def private(self, place: str, package: str = "org.tfliteodl.app") -> pathlib.Path:
        """Returns where a file of an app's own storage lies here."""
        return self.root / "data/data" / package / place

    def _furnish(self) -> None:
        for name, value in PROPERTIES.items():
            self.property(name, value)
        self.file("proc/meminfo", MEMINFO)
        self.file("sys/devices/system/cpu/present", "0-7\n")
        self.file("battery", BATTERY + "  level: 80\n")
        self.file("thermal", "IsStatusOverride: false\nThermal Status: 0\n")
        self.command("getprop", f'cat {self.root}/props/"$1"')
        self.command(
            "dumpsys",
            f'case "$1" in battery) cat {self.root}/battery;;'
            f" thermalservice) cat {self.root}/thermal;; *) exit 1;; esac",
        )
        self.storage(free_kb=20_000_000)
        inside = f"{self.root}/data/data"
        self.command("pm", f"mkdir -p {inside}/org.tfliteodl.app && echo Success")
        self.command(
            "run-as",
            f'cd {inside}/"$1" 2>/dev/null || {{ echo "run-as: unknown package: $1"; '
            'exit 1; }; shift; exec "$@"',
        )
        self.command("am", 'echo "Starting: Intent"')
        self.command("pidof", "echo 4711")
        self.command("logcat", "true")

    def storage(self, free_kb: int) -> None:
        """Says how much is free."""
        head = "Filesystem 1K-blocks Used Available Use% Mounted on"
        line = f"/dev/block/dm-5 50000000 {50_000_000 - free_kb} {free_kb} 60% /data"
        self.command("df", f'echo "{head}"; echo "{line}"')

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                while self._answer(connection):
                    pass
            except (EOFError, OSError):
                pass

    def _answer(self, connection: socket.socket) -> bool:
        """Answers one request; returns whether another may follow."""
        request = _read(connection, int(_read(connection, 4), 16)).decode()
        kind, _, rest = request.partition(":")
        if request == "host:version":
            _say(connection, "0029")
        elif request == "host:devices":
            lines = (f"{serial}\t{state}\n" for serial, state in self.states.items())
            _say(connection, "".join(lines))
        elif kind == "host-serial":
            _say(connection, "shell_v2,cmd")
        elif rest.startswith("tport:serial:"):
            return self._chosen(connection, rest.rpartition(":")[2])
        elif kind in ("shell", "shell,v2"):
            self._run(connection, rest, kind != "shell")
        elif kind == "sync":
            connection.sendall(b"OKAY")
            self._sync(connection)
        else:
            _refuse(connection, f"unknown request {request}")
        return False

    def _chosen(self, connection: socket.socket, serial: str) -> bool:
        state = self.states.get(serial)
        if state == "device":
            connection.sendall(b"OKAY" + struct.pack("<Q", 1))
            return True
        told = {None: f"device '{serial}' not found", "offline": "device offline"}
        _refuse(connection, told.get(state, f"device {state}."))
        return False

    def _run(self, connection: socket.socket, command: str, packets: bool) -> None:
        self.asked.append(command)
        if self.cut(command):
            return
        connection.sendall(b"OKAY")
        path = f"{self.root}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", self._here(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
            cwd=self.root,
            timeout=60,
        )
        if packets:
            connection.sendall(b"\x01" + struct.pack("<I", len(done.stdout)))
        connection.sendall(done.stdout)
        if packets:
            connection.sendall(b"\x03" + struct.pack("<IB", 1, done.returncode & 255))

    def _here(self, text: str) -> str:
        return _FOLDERS.sub(lambda found: f"{self.root}/{found[1]}", text)

    def _sync(self, connection: socket.socket) -> None:
        kind, size = struct.unpack("<4sI", _read(connection, 8))
        name = _read(connection, size).decode()
        if kind == b"SEND":
            self._receive(connection, pathlib.Path(self._here(name.rpartition(",")[0])))
            return
        path = pathlib.Path(self._here(name))
        if kind == b"STAT":
            there = path.stat() if path.exists() else None
            mode, size = (there.st_mode, there.st_size) if there else (0, 0)
            connection.sendall(b"STAT" + struct.pack("<III", mode, size, 1))
        elif not path.is_file():
            told = b"No such file or directory"
            connection.sendall(b"FAIL" + struct.pack("<I", len(told)) + told)
        else:
            content = path.read_bytes()
            for start in range(0, len(content), 65536):
                part = content[start : start + 65536]
                connection.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
            connection.sendall(b"DONE" + bytes(4))

    def _receive(self, connection: socket.socket, path: pathlib.Path) -> None:
        content = b""
        while True:
            kind, size = struct.unpack("<4sI", _read(connection, 8))
            if kind != b"DATA":
                break
            content += _read(connection, size)
        path.write_bytes(content)
        connection.sendall(b"OKAY" + bytes(4))


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _say(connection: socket.socket, text: str) -> None:
    connection.sendall(b"OKAY%04x" % len(text) + text.encode())


def _refuse(connection: socket.socket, text: str) -> None:
    connection.sendall(b"FAIL%04x" % len(text) + text.encode())
