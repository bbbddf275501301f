"""Leads an app through its lives on the emulated phone, and says what became of it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.desk import app, limits, schedule
from tflite_odl.desk.places import environment
from tflite_odl.errors import DeviceError
from tflite_odl.host import checkpoint
from tflite_odl.host.artifact import Artifact

UNDISTURBED = "undisturbed"
_KILLED = (-signal.SIGKILL, -signal.SIGALRM)


class OutOfMemory(DeviceError):
    """The app took more memory than the phone gives it; says where, and what fits."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an app.

    Attributes:
      result: as its last life wrote it.
      came: the faults that came; a planned one is missing where nothing was saved
        after it.
      equal: whether the learned state is that of a life without these faults, to the
        byte; None if none came.
    """

    result: dict[str, Any]
    came: tuple[schedule.Fault, ...]
    equal: bool | None


def _nobody(batch: int) -> None:
    """Is told of a batch, and does nothing."""


def live(
    life: app.Life,
    faults: Sequence[schedule.Fault],
    on_batch: Callable[[int], None] = _nobody,
) -> Outcome:
    """Leads the app to the end of its batches, through its faults.

    After each fault the app is started again, as a phone's system does. Where any came,
    the same life is led once more without them, in a folder of its own, and compared.

    Raises:
      OutOfMemory: it took more than its limit.
      DeviceError: it failed for another reason than a fault.
    """
    result, came = _lives(life, faults, on_batch)
    if not came:
        return Outcome(result, (), None)
    folder = pathlib.Path(life.out) / UNDISTURBED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # One life from its beginning to its end also tells more of calls and memory.
    result, _ = _lives(dataclasses.replace(life, out=str(folder)), (), _nobody)
    manifest = Artifact.open(life.artifact).manifest
    disturbed, undisturbed = (
        checkpoint.latest(path, manifest) for path in (life.out, folder)
    )
    equal = disturbed.position == undisturbed.position and all(
        np.array_equal(
            value, undisturbed.state[name], equal_nan=value.dtype.kind == "f"
        )
        for name, value in disturbed.state.items()
    )
    return Outcome(result, came, equal)


def _lives(
    life: app.Life,
    faults: Sequence[schedule.Fault],
    on_batch: Callable[[int], None],
) -> tuple[dict[str, Any], tuple[schedule.Fault, ...]]:
    jumps = [fault for fault in faults if fault.kind == schedule.CLOCK_JUMP]
    life = dataclasses.replace(life, clock_jumps=[jump.batch for jump in jumps])
    pending, came = [fault for fault in faults if fault not in jumps], jumps
    while True:
        fault = pending.pop(0) if pending else None
        about = fault and dataclasses.asdict(fault)
        code, last = _life(dataclasses.replace(life, fault=about), on_batch)
        ended = fault is not None and (code in _KILLED or code == app.STORAGE)
        if ended:
            came.append(fault)
        elif code in (limits.OUT_OF_MEMORY, -signal.SIGKILL, -signal.SIGABRT) and (
            life.memory_mb
        ):
            raise OutOfMemory(_blame(life))
        elif code:
            raise DeviceError(f"the app ended with exit code {code}: {last}")
        if code == 0:
            path = pathlib.Path(life.out) / app.RESULT
            return json.loads(path.read_text()), tuple(came)


def _life(life: app.Life, on_batch: Callable[[int], None]) -> tuple[int, str]:
    """Returns the exit code of one life, and the last line of its errors."""
    folder = pathlib.Path(life.out)
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "life.json"
    about.write_text(json.dumps(dataclasses.asdict(life)))
    command = [sys.executable, "-m", "tflite_odl.desk.app", str(about)]
    with (
        open(folder / "app.log", "w+") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
        ) as process,
    ):
        try:
            for line in process.stdout:
                on_batch(int(line))
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        limits.sweep()
        log.seek(0)
        lines = log.read().strip().splitlines()
    return code, lines[-1] if lines else "no message"


def _blame(life: app.Life) -> str:
    """Says which call took too much, and which batch would fit."""
    manifest = Artifact.open(life.artifact).manifest
    signature = (pathlib.Path(life.out) / app.STATUS).read_text()
    about = manifest.memory.get(signature)
    if about is None:
        return (
            f"over {life.memory_mb:g} MB while {signature} the artifact, which takes "
            f"{manifest.sizes['total'] / 2**20:.1f} MB itself"
        )
    rows = manifest.signature(signature).inputs[0].shape[0]
    batched = signature in (contract.TRAIN, contract.EVALUATE, contract.INFER)
    fits = largest_batch(about, rows, life.memory_mb) if batched else 0
    advice = f"a batch of {fits} would fit" if fits else "no batch would fit"
    of = f", {rows} rows" if batched else ""
    parts = ", ".join(
        f"{name} {size / 2**20:.1f}"
        for name, size in about.items()
        if name != "total" and size >= 2**20 / 20
    )
    return (
        f"over {life.memory_mb:g} MB in the first call of {signature}{of}: it "
        f"needs {about['total'] / 2**20:.1f} MB ({parts}); {advice}"
    )


def largest_batch(memory: dict[str, int], rows: int, limit_mb: float) -> int:
    """Returns the rows of the largest batch that a limit leaves room for, 0 if none.

    Args:
      memory: of a signature, bytes by kind, as the manifest has it.
      rows: of the batch that it is of.
      limit_mb: above the app without the artifact.
    """
    growing = memory["activations"] + memory["temporary"]
    fixed = memory["total"] - growing
    return max(0, int((limit_mb * 2**20 - fixed) * rows / max(growing, 1)))
