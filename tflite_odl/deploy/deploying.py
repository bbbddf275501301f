"""The whole way: read the device, choose, run here and there, pull, compare, report."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tflite_odl import contract, files, streams
from tflite_odl.deploy import bridge, choice, comparing, facts, here, stream
from tflite_odl.deploy.app import OLDEST_API, STATUS, App
from tflite_odl.deploy.runner import Runner
from tflite_odl.desk import profiles
from tflite_odl.desk.report import findings
from tflite_odl.errors import DataError, DeviceError
from tflite_odl.host import journal
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.records import RECORDS
from tflite_odl.streams.dataset import Dataset

# What an APK says of itself; `tools/apk.py` writes it.
ABOUT = "assets/about.json"
STREAM = "stream.packed"
# Folders of the two runs, and their names for who follows them.
HERE, THERE = "desk", "phone"
_LIBRARY = "lib/"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
      folder: an artifact, or a folder of variants.
      dataset, order, seed, steps: of the stream, as `tools/emulate.py` has them.
      out: folder for the host's run, the phone's results, and the stream.
      apk: the app; None where `runner` stands.
      serial: of the device; None: the only one.
      device: a profile whose limits hold; None: by the device's memory.
      runner: command line of the app on the device, in its place.
      threads: of the CPU kernels, on both; None takes the profile's.
      charging, idle: the app waits for both where it is asked to.
      settings: given to `configure` before the first step.
    """

    folder: pathlib.Path
    dataset: str
    out: pathlib.Path
    steps: int = 100
    order: str = "shuffled"
    seed: int = 0
    apk: pathlib.Path | None = None
    serial: str | None = None
    device: str | None = None
    runner: str | None = None
    threads: int | None = None
    charging: bool = False
    idle: bool = False
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Place(Protocol):
    """What can be given files, run, and give results back."""

    def prepare(self, package: Mapping[str, pathlib.Path | bytes]) -> None: ...

    def train(
        self, asked: Mapping[str, Any], say: Callable[[dict[str, Any]], None]
    ) -> None: ...

    def results(self) -> dict[str, bytes]: ...


def deploy(
    plan: Plan,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, int], None] = lambda where, batch: None,
) -> findings.Findings:
    """Trains on the device and here; leaves both runs in `plan.out`.

    Args:
      plan: what.
      say: told each step, in words.
      progress: told (`HERE` or `THERE`, batches done).

    Raises:
      DeviceError: the device cannot be used, nothing fits it, or the run there failed.
      OdlError: artifact, dataset or APK cannot be used.
    """
    phone = bridge.connect(plan.serial)
    about = _read(phone, say)
    app = _apk(plan.apk) if plan.runner is None else {}
    chosen = _choose(plan, about, app.get("runtime", ""), say)
    artifact = chosen.variant.artifact
    rows = _rows(plan, artifact)
    package = _package(artifact, plan.out / STREAM)
    _check(plan, about, app, chosen.variant.stored_mb, package)
    threads = plan.threads or chosen.profile.threads
    measured = here.run(
        artifact,
        rows,
        plan.out / HERE,
        plan.steps,
        threads,
        plan.settings,
        on_step=lambda batch: progress(HERE, batch),
    )
    place = _place(plan, phone, artifact)
    say("copy artifact and stream")
    place.prepare(package)
    say("train on the device")
    asked = _asked(plan, artifact, threads)
    place.train(asked, lambda status: progress(THERE, status.get("batch", 0)))
    _keep(plan.out / THERE, place.results())
    return _findings(plan, artifact, chosen, measured, _told(plan.out, about, chosen))


def _read(phone: bridge.Bridge, say: Callable[[str], None]) -> facts.Facts:
    about = facts.read(phone)
    say(f"{phone.serial}: {described(about)}")
    for note in about.notes:
        say(f"note: {note}")
    return about


def _choose(
    plan: Plan, about: facts.Facts, runtime: str, say: Callable[[str], None]
) -> choice.Choice:
    profile = profiles.load(plan.device) if plan.device else choice.profile_of(about)
    chosen = choice.choose(plan.folder, about, profile, runtime)
    for reason in chosen.reasons:
        say(reason)
    return chosen


def _check(
    plan: Plan,
    about: facts.Facts,
    app: Mapping[str, Any],
    stored_mb: float,
    package: Mapping[str, pathlib.Path],
) -> None:
    """Raises DeviceError if the app cannot run there, or all of it does not fit."""
    needed = stored_mb + sum(map(_megabytes, package.values()))
    if app:
        needed += _megabytes(plan.apk)
        facts.check(about, tuple(app["abis"]), OLDEST_API, needed)
    else:
        facts.check_space(about, needed)


def described(about: facts.Facts) -> str:
    """Returns a line about a device."""
    parts = [about.model, about.abis[0]]
    for value, text in (
        (about.api, "API {}"),
        (about.cores, "{} cores"),
        (about.memory_mb, "{:.0f} MB"),
        (about.storage_mb, "{:.0f} MB free storage"),
        (about.thermal, "thermal status {}"),
        (about.battery, "battery {} %"),
    ):
        if value is not None:
            parts.append(text.format(value))
    return ", ".join(parts)


def _apk(path: pathlib.Path | None) -> dict[str, Any]:
    """Returns the ABIs of an APK, and which runtime it brings."""
    if path is None or not path.is_file():
        raise DeviceError(f"no app at {path}: build it with `make apk`, or name --apk")
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(ABOUT))
            names = archive.namelist()
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DeviceError(f"{path} is not the app that `make apk` builds") from error
    abis = {name.split("/")[1] for name in names if name.startswith(_LIBRARY)}
    return {"runtime": about["runtime"], "abis": sorted(abis)}


def _rows(plan: Plan, artifact: Artifact) -> Dataset:
    dataset = streams.open(plan.dataset)
    size = artifact.manifest.signature(contract.TRAIN).inputs[0].shape[0]
    rows = stream.lay_out(dataset, plan.steps, size, plan.seed, plan.order)
    return stream.write(plan.out / STREAM, dataset, rows)


def _package(artifact: Artifact, rows: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns what goes to the device: the artifact's shipped files and the stream."""
    names = [contract.MANIFEST_FILE, *artifact.manifest.files]
    shipped = {f"artifacts/{artifact.path.name}/{n}": artifact.path / n for n in names}
    return {**shipped, f"streams/{rows.name}": rows}


def _megabytes(path: pathlib.Path) -> float:
    return path.stat().st_size / 2**20


def _place(plan: Plan, phone: bridge.Bridge, artifact: Artifact) -> Place:
    run = artifact.path.name
    if plan.runner is not None:
        return Runner(phone, plan.runner, run)
    app = App(phone, run)
    app.install(plan.apk)
    return app


def _asked(plan: Plan, artifact: Artifact, threads: int) -> dict[str, Any]:
    return {
        "command": "start",
        "artifact": artifact.path.name,
        "stream": STREAM,
        "steps": plan.steps,
        "threads": threads,
        "charging": plan.charging,
        "idle": plan.idle,
        "settings": ",".join(f"{name}={v!r}" for name, v in plan.settings.items()),
    }


def _keep(folder: pathlib.Path, results: Mapping[str, bytes]) -> None:
    with files.told(DataError, f"cannot write to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in results.items():
            (folder / name).write_bytes(content)


def _told(out: pathlib.Path, about: facts.Facts, chosen: choice.Choice) -> dict:
    """Returns what a report says of the device and of its run."""
    both = [list(journal.read(out / place / RECORDS)) for place in (HERE, THERE)]
    compared = comparing.compare(*both)
    try:
        status = json.loads((out / THERE / STATUS).read_text())
    except ValueError as error:
        raise DeviceError(f"the device's {STATUS} is no JSON: {error}") from error
    return {
        "device": dataclasses.asdict(about),
        "reasons": list(chosen.reasons),
        "compared": dataclasses.asdict(compared),
        **{n: status.get(n) for n in ("engine", "goldens", "before", "after")},
    }


def _findings(
    plan: Plan,
    artifact: Artifact,
    chosen: choice.Choice,
    measured: tuple[dict, dict],
    told: dict[str, Any],
) -> findings.Findings:
    records = list(journal.read(plan.out / HERE / RECORDS))
    return findings.Findings(
        artifact=findings.about(artifact),
        device=findings.described(chosen.profile),
        dataset=plan.dataset,
        before=measured[0],
        after=measured[1],
        curves=findings.curves(records),
        phone=told,
    )
