"""The app's command line on a device, in place of the app: any Linux behind adbd."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tflite_odl.deploy.app import RESULTS
from tflite_odl.deploy.bridge import SHARED, Bridge

MOST_SECONDS = 3600.0


class Runner:
    """A command that trains, started through adb's shell.

    Attributes:
      bridge: to the device.
      command: words before FILES name=value ..., which `org.tfliteodl.run.Main` takes.
      run: name of the run.
    """

    def __init__(self, bridge: Bridge, command: str, run: str) -> None:
        self.bridge, self.command, self.run = bridge, command, run
        self._out = f"{SHARED}/runs/{run}"

    def prepare(self, package: Mapping[str, pathlib.Path | bytes]) -> None:
        """Copies files to the device; what an earlier run has left is removed.

        Raises:
          DeviceError: no space, or the connection was lost.
        """
        self.bridge.run("rm", "-rf", self._out)
        for place, content in package.items():
            to = f"{SHARED}/{place}"
            self.bridge.run("mkdir", "-p", to.rpartition("/")[0])
            self.bridge.push(content, to)

    def train(
        self, asked: Mapping[str, Any], say: Callable[[dict[str, Any]], None]
    ) -> None:
        """Runs to the end.

        Raises:
          DeviceError: the command failed; with its last words.
        """
        values = {"run": self.run, **asked}
        words = [f"{name}={_text(value)}" for name, value in values.items()]
        self.bridge.run(
            *shlex.split(self.command), SHARED, *words, most_seconds=MOST_SECONDS
        )

    def results(self) -> dict[str, bytes]:
        """Returns the files of the run that may be shared, by name."""
        return {name: self.bridge.pull(f"{self._out}/{name}") for name in RESULTS}


def _text(value: Any) -> str:
    """Returns a value as the app reads an intent's extra."""
    return str(value).lower() if isinstance(value, bool) else str(value)
