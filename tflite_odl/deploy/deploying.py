"""The whole way: read the device, choose, run here and there, pull, compare, report."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tflite_odl import contract, files, streams
from tflite_odl.deploy import bridge, choice, comparing, facts, stream
from tflite_odl.deploy.app import OLDEST_API, STATUS, App
from tflite_odl.deploy.runner import Runner
from tflite_odl.desk import profiles
from tflite_odl.desk.report import findings
from tflite_odl.errors import DataError, DeviceError
from tflite_odl.host import journal, loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.records import RECORDS
from tflite_odl.host.session import Session
from tflite_odl.streams.dataset import Dataset

# What an APK says of itself; `tools/apk.py` writes it.
ABOUT = "assets/about.json"
STREAM = "stream.packed"
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
      progress: told (`desk` or `phone`, batches done).

    Raises:
      DeviceError: the device cannot be used, nothing fits it, or the run there failed.
      OdlError: artifact, dataset or APK cannot be used.
    """
    phone = bridge.connect(plan.serial)
    about = facts.read(phone)
    say(f"{phone.serial}: {described(about)}")
    for note in about.notes:
        say(f"note: {note}")
    app = _apk(plan.apk) if plan.runner is None else {}
    profile = profiles.load(plan.device) if plan.device else choice.profile_of(about)
    chosen = choice.choose(plan.folder, about, profile, app.get("runtime", ""))
    for reason in chosen.reasons:
        say(reason)
    artifact = chosen.variant.artifact
    rows = _rows(plan, artifact)
    package = _package(artifact, plan.out / STREAM)
    needed = chosen.variant.stored_mb + sum(map(_megabytes, package.values()))
    if app:
        needed += _megabytes(plan.apk)
        abi = facts.check(about, tuple(app["abis"]), OLDEST_API, needed)
        say(f"{plan.apk.name} runs there as {abi}")
    else:
        facts.check_space(about, needed)
    threads = plan.threads or profile.threads
    measured = _here(plan, artifact, rows, threads, progress)
    place = _place(plan, phone, artifact)
    say("copy artifact and stream")
    place.prepare(package)
    say("train on the device")
    asked = _asked(plan, artifact, threads)
    place.train(asked, lambda status: progress("phone", status.get("batch", 0)))
    _keep(plan.out / "phone", place.results())
    told = _told(plan.out, about, chosen)
    return _findings(plan, artifact, profile, measured, told)


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


def _here(
    plan: Plan, artifact: Artifact, rows: Dataset, threads: int, progress: Callable
) -> tuple[dict, dict]:
    """Makes the same run on this machine; returns the evaluations before and after."""
    out = plan.out / "desk"
    if (out / RECORDS).exists():
        raise DataError(f"{plan.out} already holds a run: take another --out")
    with Session(artifact.path, threads=threads, checkpoint_dir=out) as session:
        if plan.settings:
            session.configure(**plan.settings)
        before = _measured(session, rows)
        loop.run(
            session,
            lambda start: rows.train.batches(
                session.batch_size, 0, start, "sequential"
            ),
            plan.steps,
            out,
            on_step=lambda record: progress("desk", record["batch"]),
        )
        return before, _measured(session, rows)


def _measured(session: Session, rows: Dataset) -> dict[str, float]:
    """Returns what `evaluate` says of the held-out rows, if it needs labels alone."""
    labels = session.manifest.signature(contract.TRAIN).inputs_of("label")
    return session.evaluate(rows.test.x, rows.test.y) if labels else {}


def _keep(folder: pathlib.Path, results: Mapping[str, bytes]) -> None:
    with files.told(DataError, f"cannot write to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in results.items():
            (folder / name).write_bytes(content)


def _told(out: pathlib.Path, about: facts.Facts, chosen: choice.Choice) -> dict:
    """Returns what a report says of the device and of its run."""
    both = [list(journal.read(out / place / RECORDS)) for place in ("desk", "phone")]
    compared = comparing.compare(*both)
    try:
        status = json.loads((out / "phone" / STATUS).read_text())
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
    profile: profiles.Profile,
    measured: tuple[dict, dict],
    told: dict[str, Any],
) -> findings.Findings:
    records = list(journal.read(plan.out / "desk" / RECORDS))
    return findings.Findings(
        artifact=findings.about(artifact),
        device=findings.described(profile),
        dataset=plan.dataset,
        before=measured[0],
        after=measured[1],
        curves=findings.curves(records),
        phone=told,
    )
