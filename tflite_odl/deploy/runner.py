"""The core's command line on a device, in place of the app: any Linux behind adbd."""

from __future__ import annotations

import json
import pathlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tflite_odl.deploy.app import RESULTS
from tflite_odl.deploy.bridge import SHARED, Bridge
from tflite_odl.errors import DeviceError

MOST_SECONDS = 3600.0


class Runner:
    """A command that trains, started through adb's shell.

    Attributes:
      bridge: to the device.
      command: words before the arguments `train ARTIFACT STREAM OUT --name=value ...`.
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
        words = [
            *shlex.split(self.command),
            "train",
            f"{SHARED}/artifacts/{asked['artifact']}",
            f"{SHARED}/streams/{asked['stream']}",
            self._out,
            *(f"--{name}={asked[name]}" for name in ("steps", "threads")),
        ]
        if asked["settings"]:
            words.append(f"--set={asked['settings']}")
        self.bridge.run(*words, most_seconds=MOST_SECONDS)

    def results(self) -> dict[str, bytes]:
        """Returns the files of the run that may be shared, by name."""
        return {name: self.bridge.pull(f"{self._out}/{name}") for name in RESULTS}
