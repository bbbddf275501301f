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

UNDISTURBED, UPDATED = "undisturbed", "updated"
_KILLED = (-signal.SIGKILL, -signal.SIGALRM)


class OutOfMemory(DeviceError):
    """The app took more memory than the phone gives it; says where, and what fits."""


class OutOfStorage(DeviceError):
    """The app wrote more than the phone has room for; says what lies there."""


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
      OutOfMemory, OutOfStorage: it took more than its limit.
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
        elif code == app.STORAGE and life.storage_mb is not None:
            raise OutOfStorage(_stored(life))
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


def _stored(life: app.Life) -> str:
    """Says what fills the storage."""
    sizes = limits.held(pathlib.Path(life.out))
    parts = ", ".join(
        f"{name} {size / 2**20:.2f}"
        for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:4]
    )
    return (
        f"the storage is full: checkpoints and records may take {life.storage_mb:.2f} "
        f"MB beside the artifact, {sum(sizes.values()) / 2**20:.2f} MB lie there "
        f"({parts}), and a new checkpoint is written before the oldest goes"
    )


@dataclasses.dataclass(frozen=True)
class Update:
    """What an update of the artifact has taken over.

    Attributes:
      taken, kept, differing: names of weights, as `host.adopt.Adopted` has them.
      before: held-out rows with the artifact that was replaced.
      adopted: with the new one, right after it took the weights.
      outcome: of both lives; the result is the new one's.
    """

    taken: tuple[str, ...]
    kept: tuple[str, ...]
    differing: tuple[str, ...]
    before: dict[str, float]
    adopted: dict[str, float]
    outcome: Outcome


def updated(
    life: app.Life,
    faults: Sequence[schedule.Fault],
    artifact: str,
    at: int,
    on_batch: Callable[[int], None] = _nobody,
) -> Update:
    """Leads the app through an update of its artifact before a batch.

    State goes over by `Session.adopt` alone, into a folder of the new artifact's own
    beside the old one's, which stays as it is.

    Args:
      life, faults, on_batch: as `live` takes them.
      artifact: the new one, of the same batch size.
      at: the batch.

    Raises:
      DeviceError: as `live`; the new artifact takes other batches, or no weight fits.
    """
    sizes = [
        Artifact.open(path).manifest.signature(contract.TRAIN).inputs[0].shape[0]
        for path in (life.artifact, artifact)
    ]
    if sizes[0] != sizes[1] or not 0 < at < len(life.batches):
        raise DeviceError(
            f"an update before batch {at} of {len(life.batches)} from batches of "
            f"{sizes[0]} rows to {sizes[1]}: both must be equal, the batch amid the run"
        )
    old = dataclasses.replace(life, batches=life.batches[:at])
    before = live(old, [f for f in faults if f.batch < at], on_batch)
    folder = pathlib.Path(life.out) / UPDATED
    new = dataclasses.replace(
        life,
        artifact=artifact,
        out=str(folder),
        adopt=str(pathlib.Path(life.out) / checkpoint.NEWEST),
        batches=life.batches[at:],
        corrupt=[[batch - at, row] for batch, row in life.corrupt if batch >= at],
    )
    later = [
        dataclasses.replace(f, batch=f.batch - at) for f in faults if f.batch >= at
    ]
    after = live(new, later, lambda batch: on_batch(at + batch))
    told = json.loads((folder / app.ADOPTED).read_text())
    names = [tuple(told[name]) for name in ("taken", "kept", "differing")]
    came = [dataclasses.replace(f, batch=f.batch + at) for f in after.came]
    known = [one.equal for one in (before, after) if one.equal is not None]
    whole = Outcome(after.result, (*before.came, *came), all(known) if known else None)
    return Update(*names, before.result["after"], told["tested"], whole)


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
