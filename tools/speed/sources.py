"""What engines are given: nets, artifacts, converted models, made once.

Each is kept with a stamp of what it was made from, and made again when that changes.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence

import cases
import processes
from environments import ENGINES, HERE, OURS, Engine, digest, script

LIBRARY = HERE.parents[1] / "tflite_odl"
HOST = ("host", "streams")  # parts of the library that leave no trace in an artifact
Say = Callable[[str], None]


def command(
    engine: Engine, python: str, folder: pathlib.Path, case: str, *run: object
) -> list[object]:
    """Returns the command of an engine's script; `run` is threads and seconds."""
    script = HERE / f"{engine.scripts[0]}.py"
    return [python, script, case, *run, _net_path(folder, case), *engine.options]


def prepare(
    folder: pathlib.Path,
    names: Sequence[str],
    pythons: dict[str, str],
    skipped: dict[str, str],
    say: Say,
) -> dict[tuple[str, str], str]:
    """Makes whatever is missing or outdated; notes in `skipped` what cannot be made.

    Returns:
      {(case, engine): a stamp of all that the engine's time depends on}.
    """
    stamps = {}
    for name in names:
        if cases.CASES[name].net.name in skipped:
            continue
        net = _net(folder, name, say)
        for engine in (e for e in ENGINES if e.name in pythons):
            try:
                stamp = _source(engine, pythons[engine.name], folder, name, net, say)
            except processes.Failed as error:
                say(f"{name}, {engine.name}: {error}")
                _, refused, reason = str(error).partition("ModelError: ")
                if refused and engine.name in OURS:
                    # Without ours there is nothing to compare with.
                    skipped[cases.CASES[name].net.name] = reason
                    break
                skipped[f"{name}, {engine.name}"] = str(error)
            else:
                if stamp not in stamps.values():  # not the same artifact once more
                    stamps[name, engine.name] = stamp
    return stamps


def _source(
    engine: Engine, python: str, folder: pathlib.Path, name: str, net: str, say: Say
) -> str:
    """Returns the stamp of a case for an engine, after making what its script needs."""
    ours, texts = engine.name in OURS, [net, name, *engine.texts()]
    path = folder / f"{name}{engine.suffix}"
    if engine.suffix:
        library = _library(leave_out=HOST) if ours else []
        convert = command(engine, python, folder, name, 2, 0)
        made_from = digest(*texts, *engine.options, *library)
        _make(path, made_from, lambda: processes.run(convert), say)
    if ours:
        manifest = json.loads((path / "manifest.json").read_text())
        texts += [manifest["artifact_id"], *_library(*HOST)]
    return digest(*texts, *(script(file) for file in ("cases", "measuring", "nets")))


def _net(folder: pathlib.Path, name: str, say: Say) -> str:
    """Returns the stamp of a case's net, after writing the file of it."""
    path, net = _net_path(folder, name), cases.CASES[name].net
    stamp = digest(repr(net), script("nets"), *_library("models"))
    write = [sys.executable, HERE / "nets.py", net.name, path]
    _make(path, stamp, lambda: processes.run(write), say)
    return stamp


def _net_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / f"{cases.CASES[name].net.name}.npz"


def _make(path: pathlib.Path, stamp: str, make: Callable, say: Say) -> None:
    note = path.with_name(f"{path.name}.stamp")
    if path.exists() and note.exists() and note.read_text() == stamp:
        return
    say(f"make {path.name}")
    note.unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    make()
    note.write_text(stamp)


def _library(*parts: str, leave_out: Sequence[str] = ()) -> list[str]:
    """Returns the library's sources: all, or those of some folders."""
    found = sorted(LIBRARY.rglob("*.py"))
    tops = {path: path.relative_to(LIBRARY).parts[0] for path in found}
    kept = [p for p in found if tops[p] not in leave_out]
    return [p.read_text() for p in kept if not parts or tops[p] in parts]
