"""What `emulate` does beyond a plain run: a device, faults, processors, the report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib
import statistics
import time
from typing import Any

from absl import flags
from rich.console import Console
from rich.progress import Progress

from tflite_odl import contract
from tflite_odl.desk import app, older, parity, phone, places, profiles, schedule
from tflite_odl.desk.arm import counting, environment
from tflite_odl.desk.needs import needs
from tflite_odl.desk.profiles import Profile
from tflite_odl.desk.replay import Call
from tflite_odl.desk.report import findings, page
from tflite_odl.desk.report.pictures import strips
from tflite_odl.errors import ArtifactError, DeviceError
from tflite_odl.host import checkpoint, records
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

_DEVICE = flags.DEFINE_string(
    "device", None, f"profile whose limits hold: {', '.join(profiles.names())}, or FILE"
)
_FAULTS = flags.DEFINE_string(
    "faults",
    "",
    "how often each comes, as kill=3,gap=2: "
    f"{', '.join((*schedule.LIFE, *schedule.STREAM))}",
)
_UPDATE = flags.DEFINE_string(
    "update", None, "an artifact that replaces the first one amid the run"
)
_REPORT = flags.DEFINE_string("report", None, "write an HTML page, and JSON beside it")
_PARITY = flags.DEFINE_integer(
    "parity", 0, "steps by which runtimes and processors are compared; 0: not at all"
)
_ABI = flags.DEFINE_enum(
    "abi", "x86_64", ["x86_64", "arm64-v8a"], "arm64-v8a: compare an emulated one, too"
)
_RUNTIMES = flags.DEFINE_list(
    "runtimes", [], "older LiteRTs to compare, too, as 1.0.1,1.4.0"
)
_COUNT = flags.DEFINE_boolean(
    "count", False, "count instructions of each signature on emulated ARM64 cores"
)
_CORES = flags.DEFINE_list(
    "cores", [], "cores to count on, the device's by default: a55, a76, a78, x4"
)
_STEP_MS = flags.DEFINE_float(
    "step_ms", None, "what a step takes on the phone, by which sensor rows arrive"
)
_BUFFERS = flags.DEFINE_boolean(
    "include_buffers", False, "show the images that buffers hold in the report"
)
# Steps by which a step's time on this desk is taken where nothing else is known.
_TIMED = 5


def wanted() -> bool:
    """Whether a device, faults or an update were asked for: the app leads lives of its
    own."""
    return bool(_DEVICE.value or _FAULTS.value or _UPDATE.value)


def profile() -> Profile | None:
    """Returns the device that was asked for.

    Raises:
      DeviceError: there is none of that name, or its file is wrong.
    """
    return profiles.load(_DEVICE.value) if _DEVICE.value else None


def compared(artifact: Artifact, console: Console) -> dict[str, list[dict[str, Any]]]:
    """Returns what the flags ask to compare and to count: `parity` and `counts`."""
    if _BUFFERS.value and _REPORT.value is None:
        raise DeviceError("--include_buffers shows images in a report: give --report")
    elsewhere = _ABI.value != "x86_64" or _RUNTIMES.value
    steps = _PARITY.value or (20 if elsewhere else 0)
    rows = _matrix(artifact, steps, console) if steps else []
    return {"parity": rows, "counts": _counts(artifact, console)}


def _matrix(artifact: Artifact, steps: int, console: Console) -> list[dict[str, Any]]:
    asked = places.here()
    for version in _older(artifact):
        asked.append(older.ready(version, say=console.out))
    if _ABI.value != "x86_64":
        asked.append(places.emulated(_emulator("a76", console)))
    found = []
    batches = list(parity.golden_batches(artifact, steps))
    for row in parity.matrix(artifact, batches, asked):
        worst = row.worst
        found.append(
            {
                "place": row.place,
                "passed": row.passed,
                "problem": row.problem,
                "drift": row.drift,
                "worst": worst and dataclasses.asdict(worst),
                "differences": [dataclasses.asdict(d) for d in row.differences],
            }
        )
        told = row.problem or (worst and f"{worst.signature}.{worst.tensor}")
        answer = "agrees" if row.passed else "DIFFERS"
        console.out(f"{row.place}: {answer}, worst is {told}")
    return found


def _older(artifact: Artifact) -> list[str]:
    """Returns the LiteRTs asked for, the device's oldest and the artifact's."""
    device = profile()
    promised = artifact.manifest.versions.get("oldest_runtime", "")
    found = [*_RUNTIMES.value, device.oldest_runtime if device else "", promised]
    here = importlib.metadata.version("ai-edge-litert")
    return [v for v in dict.fromkeys(found) if v not in ("", here)]


def _counts(artifact: Artifact, console: Console) -> list[dict[str, Any]]:
    if not _COUNT.value:
        if _CORES.value:
            raise DeviceError("--cores says where to count: it needs --count")
        return []
    device = profile()
    cores = _CORES.value or [device.core if device else "a76"]
    found = []
    for core in cores:
        for count in counting.count(
            _emulator(core, console), artifact.path, _one_call_each(artifact)
        ):
            found.append(dataclasses.asdict(count))
            console.out(
                f"{count.signature} on {core}, one thread: {count.instructions:.1f} M "
                f"instructions, {count.bound:.1f} M cycles at least, "
                f"{count.estimate:.1f} by the cache model"
            )
    return found


def _emulator(core: str, console: Console) -> environment.Emulator:
    return environment.ready(core, say=console.out)


def _one_call_each(artifact: Artifact) -> list[Call]:
    with InterpreterRuntime(artifact.model, artifact.manifest, 1) as runtime:
        batch = next(parity.golden_batches(artifact, 1))
        return list(parity.calls_of(runtime, artifact.manifest, [batch]))


def step_seconds(
    artifact: Artifact, device: Profile, counts: list[dict[str, Any]]
) -> tuple[float, str]:
    """Returns what a step takes on the device, and where that is known from."""
    if _STEP_MS.value is not None:
        return _STEP_MS.value / 1e3, "--step_ms"
    for count in counts:
        if count["signature"] == contract.TRAIN and count["core"] == device.core:
            return count["estimate"] / (device.gigahertz * 1e3), "counts, by estimate"
    with InterpreterRuntime(artifact.model, artifact.manifest) as runtime:
        batch = next(parity.golden_batches(artifact, 1))
        runtime.run(contract.TRAIN, batch)
        seconds = []
        for _ in range(_TIMED):
            began = time.perf_counter()
            runtime.run(contract.TRAIN, batch)
            seconds.append(time.perf_counter() - began)
    return statistics.median(
        seconds
    ), "this desk, which is no phone: --count, --step_ms"


def lead(
    life: app.Life,
    artifact: Artifact,
    steps: int,
    counts: list[dict[str, Any]],
    console: Console,
) -> dict[str, Any]:
    """Leads the app through its lives on the device; returns what the report tells.

    Args:
      life: without batches, faults and limits, which are planned here.
      artifact: what it uses.
      steps: batches in all.
      counts: as `compared` returns them.
      console: for progress.

    Raises:
      DeviceError: the app took too much memory or storage, or failed for another
        reason.
    """
    device = profile() or Profile("none", "no device", sensor=profiles.Sensor())
    size = artifact.manifest.signature(contract.TRAIN).inputs[0].shape[0]
    seconds, source = step_seconds(artifact, device, counts)
    faults = schedule.parse(_FAULTS.value)
    plan = schedule.plan(device, size, steps, seconds, faults, life.seed)
    life = dataclasses.replace(
        life,
        batches=[list(batch) for batch in plan.batches],
        corrupt=sorted(list(pair) for pair in plan.corrupt),
        threads=device.threads if _DEVICE.value else life.threads,
        memory_mb=device.memory_mb if _DEVICE.value else None,
        storage_mb=_room(artifact, device) if _DEVICE.value else None,
    )
    update = None
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("train", total=steps)

        def at(batch: int) -> None:
            progress.update(bar, completed=batch)

        if _UPDATE.value:
            half = len(plan.batches) // 2
            update = phone.updated(life, plan.faults, _UPDATE.value, half, at)
        outcome = update.outcome if update else phone.live(life, plan.faults, at)
    hours = max(plan.seconds[-1] if plan.seconds else 0.0, 1e-9) / 3600
    return {
        "after": outcome.result["after"],
        "faults": [dataclasses.asdict(fault) for fault in outcome.came],
        "equal": outcome.equal,
        "stream": {
            "lost": plan.lost,
            "duplicated": plan.duplicates,
            "corrupted": len(plan.corrupt),
        },
        "calls": outcome.result["calls"],
        "memory": outcome.result["memory"],
        "storage": _storage(artifact, pathlib.Path(life.out), hours),
        "summary": outcome.result["summary"],
        "step": {"seconds": seconds, "source": source},
        "update": _told(update),
    }


def _told(update: phone.Update | None) -> dict[str, Any]:
    """Returns what an update has taken over, as the report has it."""
    if update is None:
        return {}
    told = dataclasses.asdict(update)
    return {name: told[name] for name in told if name != "outcome"}


def _room(artifact: Artifact, device: Profile) -> float:
    """Returns the MB that a device leaves for checkpoints and records.

    Raises:
      DeviceError: the artifact itself does not fit.
    """
    room = device.storage_mb - len(artifact.model) / 2**20
    if room <= 0:
        raise DeviceError(
            f"device {device.name}: the artifact has {len(artifact.model) / 2**20:.1f} "
            f"MB, the storage {device.storage_mb:g}"
        )
    return room


def _storage(artifact: Artifact, out: pathlib.Path, hours: float) -> dict[str, float]:
    """Returns what lies on the phone, and what is written there in an hour."""
    state = (out / checkpoint.NEWEST).stat().st_size
    logged = (out / records.RECORDS).stat().st_size
    told = json.loads((out / app.RESULT).read_text())["calls"]
    saves = told.get(contract.SAVE, {}).get("calls", 0)
    return {
        "kept_bytes": needs(artifact).stored_mb * 2**20,
        "written_bytes": saves * state + logged,
        "bytes_per_hour": (saves * state + logged) / hours,
    }


def pictures(artifact: Artifact, out: pathlib.Path) -> dict[str, str]:
    """Returns what the buffers of a run hold at its end, where that is asked for."""
    if not _BUFFERS.value:
        return {}
    found = checkpoint.latest(out, artifact.manifest)
    return strips(found.state, artifact.manifest.state) if found else {}


def golden(artifact: Artifact) -> dict[str, int]:
    """Returns how many golden outputs hold here, of how many; {} without goldens."""
    from tflite_odl.desk import proving

    try:
        results = proving.prove(artifact, "interpreter", 1)
    except ArtifactError:
        return {}
    return {"passed": sum(r.passed for r in results), "all": len(results)}


def report(found: findings.Findings, console: Console) -> None:
    """Writes page and data where `--report` says, if it does."""
    if _REPORT.value is None:
        return
    path = pathlib.Path(_REPORT.value)
    page.write(found, path)
    console.out(f"report: {path}")
