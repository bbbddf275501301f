"""The app on a phone, driven through adb: installed, given files, started, followed.

It is a debug build, so `run-as` reaches its own storage; nothing lies where other apps
could read it.
"""

from __future__ import annotations

import json
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from tflite_odl.deploy.bridge import SHARED, Bridge
from tflite_odl.errors import DeviceError

PACKAGE = "org.tfliteodl.app"
OLDEST_API = 26
STATUS = "status.json"
# What a run leaves that may be shared: no checkpoint, whose buffers are user data.
RESULTS = ("records.jsonl", "run.json", STATUS)
STARTING, WAITING, PAUSED, DONE, FAILED = (
    "starting",
    "waiting",
    "paused",
    "done",
    "failed",
)
# The system may end the app meanwhile, and starts it again.
_PATIENT = (WAITING, PAUSED)
_ACTIVITY = f"{PACKAGE}/.MainActivity"
# A screen that is off lets no app begin to train; from API 33 on it asks whether it may
# notify, and nobody is there to answer.
_WANTED = (
    ("input", "keyevent", "KEYCODE_WAKEUP"),
    ("pm", "grant", PACKAGE, "android.permission.POST_NOTIFICATIONS"),
)
# Looks after which an app that is gone, or that says nothing, is given up.
_GONE, _SILENT = 5, 300


class App:
    """The app on one device.

    Attributes:
      bridge: to the device.
      run: name of the run; its results lie in a folder of that name.
    """

    def __init__(
        self, bridge: Bridge, run: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.bridge, self.run = bridge, run
        self._sleep = sleep
        self._waits = False

    def install(self, apk: pathlib.Path) -> None:
        """Installs the app; what it holds from before stays.

        Raises:
          DeviceError: it was refused, and why.
        """
        self.bridge.install(apk, PACKAGE)

    def prepare(self, package: Mapping[str, pathlib.Path | bytes]) -> None:
        """Copies files to the app; what an earlier run of this name left is removed.

        Raises:
          DeviceError: no space, or the connection was lost.
        """
        self._run_inside("rm", "-rf", f"files/runs/{self.run}")
        self.put(package)

    def train(
        self, asked: Mapping[str, Any], say: Callable[[dict[str, Any]], None]
    ) -> None:
        """Starts the app and waits for the end of the run.

        Args:
          asked: the intent's extras.
          say: told each status.

        Raises:
          DeviceError: the run failed, the app crashed, or the connection was lost.
        """
        self._waits = bool(asked.get("charging") or asked.get("idle"))
        self.start(asked)
        self.follow(say)

    def put(self, files: Mapping[str, pathlib.Path | bytes]) -> None:
        """Copies files into the app's own storage.

        Args:
          files: by their place there, such as artifacts/signs/model.tflite.

        Raises:
          DeviceError: no space, or the connection was lost.
        """
        passing = f"{SHARED}/passing"
        self.bridge.run("mkdir", "-p", SHARED)
        for place, content in files.items():
            self.bridge.push(content, passing)
            folder, to = (f"files/{pathlib.PurePosixPath(p)}" for p in _split(place))
            inner = f"mkdir -p {shlex.quote(folder)} && cat > {shlex.quote(to)}"
            self.bridge.shell(f"cat {passing} | {self._inside('sh', '-c', inner)}")
        self.bridge.run("rm", "-f", passing)

    def start(self, extras: Mapping[str, Any]) -> None:
        """Starts the run.

        Args:
          extras: of the intent; texts, whole numbers and booleans.

        Raises:
          DeviceError: the activity cannot be started.
        """
        for wanted in _WANTED:
            self.bridge.ask(*wanted)  # a phone that has none of it goes without
        words = ["am", "start", "-S", "-n", _ACTIVITY, "--es", "run", self.run]
        for name, value in extras.items():
            kind, text = _extra(value)
            words += [kind, name, text]
        said = self.bridge.run(*words)
        if "Error" in said:
            raise DeviceError(f"{self.bridge.serial}: the app did not start: {said}")

    def follow(self, say: Callable[[dict[str, Any]], None], every: float = 1.0) -> dict:
        """Waits for the end of the run; returns its last status.

        Args:
          say: told each status.
          every: seconds between two looks.

        Raises:
          DeviceError: the run failed or was paused, the app crashed or says nothing
            more, or the connection was lost.
        """
        missing = silent = 0
        before: dict[str, Any] = {}
        while silent < _SILENT:
            status = self.status()
            say(status)
            if status["state"] == DONE:
                return status
            self._check(status)
            if status["state"] not in _PATIENT:
                missing = 0 if self._alive() else missing + 1
                silent = silent + 1 if status == before else 0
            if missing > _GONE:
                raise DeviceError(
                    f"{self.bridge.serial}: the app crashed at batch "
                    f"{status.get('batch', 0)}: {self._last_words()}"
                )
            before = status
            self._sleep(every)
        raise DeviceError(f"{self.bridge.serial}: nothing more was heard of the run")

    def _check(self, status: dict[str, Any]) -> None:
        told = {
            FAILED: f"the run failed: {status.get('error')}",
            PAUSED: f"the run was paused at batch {status.get('batch')} on the phone",
        }
        if status["state"] in told and not (status["state"] == PAUSED and self._waits):
            raise DeviceError(f"{self.bridge.serial}: {told[status['state']]}")

    def status(self) -> dict[str, Any]:
        """Returns what the app says of the run."""
        code, text = self._ask_inside("cat", f"files/runs/{self.run}/{STATUS}")
        try:
            found = {} if code else json.loads(text)
        except json.JSONDecodeError:  # an app of another version
            found = {}
        return {"state": STARTING, **found}

    def results(self) -> dict[str, bytes]:
        """Returns the files of the run that may be shared, by name.

        Raises:
          DeviceError: there are none.
        """
        found = {}
        for name in RESULTS:
            inner = self._inside("cat", f"files/runs/{self.run}/{name}")
            place = f"{SHARED}/passing"
            self.bridge.shell(f"{inner} > {place}")
            found[name] = self.bridge.pull(place)
        self.bridge.run("rm", "-f", f"{SHARED}/passing")
        return found

    def _alive(self) -> bool:
        return self.bridge.ask("pidof", PACKAGE)[0] == 0

    def _last_words(self) -> str:
        """Returns the app's exception from the crash log, if there is one."""
        code, text = self.bridge.ask("logcat", "-d", "-b", "crash", "-t", "200")
        lines = [] if code else text.splitlines()
        starts = [n for n, line in enumerate(lines) if PACKAGE in line]
        last = lines[starts[-1] :][:4] if starts else []
        told = " ".join(line.split(": ", 1)[-1].strip() for line in last)
        return told or "no word in the crash log; the system may have ended it"

    def _ask_inside(self, *words: str) -> tuple[int, str]:
        return self.bridge.ask("run-as", PACKAGE, *words)

    def _run_inside(self, *words: str) -> str:
        return self.bridge.run("run-as", PACKAGE, *words)

    def _inside(self, *words: str) -> str:
        return shlex.join(["run-as", PACKAGE, *words])


def _split(place: str) -> tuple[str, str]:
    return place.rpartition("/")[0], place


def _extra(value: Any) -> tuple[str, str]:
    """Returns an intent's extra as `am` takes it."""
    if isinstance(value, bool):
        return "--ez", str(value).lower()
    if isinstance(value, int):
        return "--ei", str(value)
    return "--es", str(value)
