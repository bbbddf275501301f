"""Where an artifact can run on this desk: runtimes, threads, older LiteRTs, ARM64."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from tflite_odl.desk import replay
from tflite_odl.desk.arm.environment import Emulator
from tflite_odl.errors import DeviceError
from tflite_odl.host import goldens

MOST_SECONDS = 1800
_PACKAGE = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Place:
    """A LiteRT that can be asked to repeat calls, in a process of its own.

    Attributes:
      name: for tables.
      python: the command that runs its Python.
      runtime: a name of `replay.KINDS`.
      threads: of the CPU kernels.
    """

    name: str
    python: tuple[str, ...] = (sys.executable,)
    runtime: str = "interpreter"
    threads: int = 1

    def run(
        self, artifact: pathlib.Path, calls: Sequence[replay.Call], work: pathlib.Path
    ) -> list[replay.Result]:
        """Makes the calls there; `work` is a folder for what goes to and fro.

        Raises:
          DeviceError: the process failed or crashed; says with which words.
        """
        replay.write(work, artifact, calls, self.runtime, self.threads)
        (work / replay.DONE).unlink(missing_ok=True)
        run(self.name, [*self.python, "-m", "tflite_odl.desk.replay", str(work)])
        return replay.read(work)

    def prove(self, artifact: pathlib.Path) -> list[goldens.Result]:
        """Makes the artifact's golden calls there.

        Raises:
          DeviceError: the process failed, or the artifact has no goldens.
        """
        module = ("-m", "tflite_odl.desk.proving", str(artifact.resolve()))
        what = (*self.python, *module, self.runtime, str(self.threads))
        return results(run(self.name, what))


def results(printed: str) -> list[goldens.Result]:
    """Returns the golden calls' results, JSON in the last line of what was printed."""
    lines = printed.strip().splitlines()
    return [goldens.Result(**about) for about in json.loads(lines[-1])]


def environment() -> dict[str, str]:
    """Returns the variables of a process that uses this package."""
    paths = [str(_PACKAGE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run(name: str, command: Sequence[str]) -> str:
    """Runs a command of a place; returns what it prints.

    Raises:
      DeviceError: it failed, crashed, or did not end.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{name}: no end after {MOST_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise DeviceError(f"{name}: exit {done.returncode}: {lines[-1][:400]}")
    return done.stdout


def here() -> list[Place]:
    """Returns the runtimes of the LiteRT that is installed."""
    return [
        Place("interpreter, 1 thread"),
        Place("interpreter, 2 threads", threads=2),
        Place("interpreter, 4 threads", threads=4),
        Place("CompiledModel, 2 threads", runtime="compiled", threads=2),
        Place("without XNNPACK", runtime="plain"),
    ]


def emulated(emulator: Emulator, runtime: str = "interpreter") -> Place:
    """Returns an emulated ARM64 core."""
    core = emulator.core.name
    name = f"ARM64 ({core})" + (", CompiledModel" if runtime == "compiled" else "")
    return Place(name, tuple(emulator.command()), runtime)
