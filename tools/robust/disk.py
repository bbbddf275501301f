"""Runs and exports on disks that are full, at every size of a small file system."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator

from tflite_odl import contract
from tflite_odl.errors import OdlError
from tflite_odl.exporter import artifact as exported
from tflite_odl.host import loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tools.robust import children, driving

BATCHES, ROOM_KB, ROOM_FILE = 6, 65536, ".room"


def study(path: pathlib.Path, work: pathlib.Path, sizes: int) -> list[dict]:
    """Returns what became of runs and of exports, by the room there was.

    Args:
      path: of an artifact.
      work: a folder.
      sizes: how many sizes are tried, from no room to plenty.
    """
    whole = work / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    _, expected = children.run(lambda: _train(path, whole), 600)
    # An export is as large as the model and its manifest, and done twice.
    own = [path / name for name in (contract.MODEL_FILE, contract.MANIFEST_FILE)]
    jobs = (
        ("run", _kb([*whole.rglob("*")]), lambda place: _run(path, place, expected)),
        ("export", 2 * _kb(own), lambda place: _export(path, place)),
    )
    found = []
    for name, most_kb, job in jobs:
        outcomes: dict[str, int] = {}
        bad = []
        for number in range(sizes):
            room = 4 * round(most_kb * (number + 1) / sizes / 4)
            with _disk(work / "small", room) as place:
                outcome = job(place)
            key = outcome.partition(":")[0]
            outcomes[key] = outcomes.get(key, 0) + 1
            if key not in ("whole", "refused"):
                bad.append([room, outcome])
        about = {"job": name, "sizes": sizes, "largest_kb": most_kb}
        found.append({**about, **outcomes, "bad": bad[:20], "by": _how()})
    return found


def _run(path: pathlib.Path, place: pathlib.Path, expected: list) -> str:
    """A run stops where the disk is full, and goes on as if nothing had been."""
    folder = place / "run"
    how, answer = children.run(
        lambda: _limited(folder, lambda: _train(path, folder)), 600
    )
    if (how, answer) == ("done", expected):
        return "whole"
    if how != "done" or answer[0] != "refused":
        return f"{how}: {answer}"
    _more_room(place)
    how, answer = children.run(lambda: _train(path, folder), 600)
    return "refused" if (how, answer) == ("done", expected) else f"resumed: {answer}"


def _export(path: pathlib.Path, place: pathlib.Path) -> str:
    """An export is whole or refused; an older artifact stays as it was."""
    opened = Artifact.open(path)
    folder = place / "artifact"

    # The file as it is stands for a fresh one, of an id of its own.
    own = exported.artifact_id(opened.model)
    manifest = dataclasses.replace(opened.manifest, artifact_id=own, files={})

    def write() -> list:
        try:
            exported.write(folder, opened.model, manifest)
        except OdlError:
            return ["refused"]
        return ["whole"]

    how, answer = children.run(lambda: _limited(folder, write), 600)
    if how != "done":
        return f"{how}: {answer}"
    if answer[0] == "refused":
        left = [p.name for p in place.rglob("*") if p.name != ROOM_FILE]
        return "refused" if not left else f"left: {left}"
    before = _content(folder)
    how, again = children.run(lambda: _limited(folder, write), 600)
    whole = _content(folder) == before
    return "whole" if how == "done" and whole else f"{how}: {again}, {whole}"


def _content(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _train(path: pathlib.Path, folder: pathlib.Path) -> list:
    artifact = Artifact.open(path)
    try:
        with Session(artifact, "interpreter", 1, folder) as session:
            session.restore_checkpoint()
            loop.run(
                session,
                lambda start: driving.stream(artifact.manifest, start),
                BATCHES,
                folder,
                1,
            )
            return [driving.state(session), driving.told(folder / loop.RECORDS)]
    except OdlError as error:
        return ["refused", type(error).__name__]


@contextlib.contextmanager
def _disk(place: pathlib.Path, room_kb: int) -> Iterator[pathlib.Path]:
    """Yields a file system of so many kB, or a folder where none can be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = _mount(place, f"size={room_kb}k")
    if not mounted:
        (place / ROOM_FILE).write_text(str(room_kb))
    try:
        yield place
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def _mount(place: pathlib.Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _more_room(place: pathlib.Path) -> None:
    if os.path.ismount(place):
        _mount(place, f"remount,size={ROOM_KB}k")


def _limited(folder: pathlib.Path, work: Callable):
    """Works with the largest file limited where no file system could be mounted."""
    limit = folder.parent / ROOM_FILE
    if limit.exists():
        most = int(limit.read_text()) * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    return work()


def _how() -> str:
    return "tmpfs" if os.geteuid() == 0 else "limit of a file's size"


def _kb(paths: list[pathlib.Path]) -> int:
    """Returns the room that files take in blocks, with some for their folders."""
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return sum(-(-size // 4096) * 4 for size in sizes) + 16
