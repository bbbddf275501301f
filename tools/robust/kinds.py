"""Each kind of file: a fresh copy of a whole one, and what reading it comes to."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from tflite_odl import contract, streams
from tflite_odl.builtin import plan
from tflite_odl.host import checkpoint, goldens, journal, loop, records, service
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tools.robust import driving

Read = Callable[[], Any]


class Kind:
    """A kind of file, prepared in a folder of its own.

    Attributes:
      file: which is damaged.
      read: returns what comes of it, as JSON has it; raises OdlError if it is refused.
      parts: whether less than the whole may come of it, as of records.
    """

    def __init__(self, file: pathlib.Path, read: Read, parts: bool = False) -> None:
        self.file, self.read, self.parts = file, read, parts


def prepare(name: str, artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    """Returns a kind by its name, see `NAMES`, with fresh files in `work`."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return NAMES[name](artifact, work)


def _works(path: pathlib.Path, runtime: str) -> str:
    """Returns a hash of what an artifact answers, before and after a step."""
    with Session(path, runtime, 1) as session:
        inputs = driving.batch(session.manifest, 0)
        answers = driving.call(session, inputs)
        answers |= session.train(**inputs)
        return driving.digest({**answers, **session.state(include_buffers=True)})


def _in_folder(name: str) -> Callable[[pathlib.Path, pathlib.Path], Kind]:
    def made(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
        folder = shutil.copytree(artifact, work / "artifact")
        return Kind(folder / name, lambda: _works(folder, "interpreter"))

    return made


def _bare(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    file = work / "bare.tflite"
    shutil.copy(artifact / contract.MODEL_FILE, file)
    return Kind(file, lambda: [_works(file, runtime) for runtime in RUNTIMES])


def _goldens(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    folder = shutil.copytree(artifact, work / "artifact")
    index = folder / contract.GOLDENS_FOLDER / goldens.INDEX_FILE

    def read() -> list:
        opened = Artifact.open(folder)
        with RUNTIMES["interpreter"](opened.model, opened.manifest) as runtime:
            return [one.passed for one in goldens.check(runtime, opened)]

    return Kind(index, read)


def _checkpoint(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    opened = Artifact.open(artifact)
    with Session(opened, checkpoint_dir=work) as session:
        session.train(**driving.batch(opened.manifest, 0))
        file = session.save_checkpoint()

    def read() -> list:
        found = checkpoint.load(file, opened.manifest)
        return [found.step, found.position, driving.digest(found.state)]

    return Kind(file, read)


def _recording(work: pathlib.Path) -> pathlib.Path:
    path, rng = work / "rows.npz", np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    np.savez_compressed(path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    return path


def _open_stream(path: pathlib.Path, cache: pathlib.Path) -> list:
    found = streams.open(f"npz:{path}", cache)
    parts = {"x": found.train.x, "y": found.train.y, "t": found.test.x}
    return [driving.digest(parts), list(found.classes), found.scale, found.offset]


def _packed(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    path, cache = _recording(work), work / "cache"
    _open_stream(path, cache)
    (file,) = cache.iterdir()
    return Kind(file, lambda: _open_stream(path, cache))


def _npz(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    path, cache = _recording(work), work / "cache"

    def read() -> list:
        shutil.rmtree(cache, ignore_errors=True)
        return _open_stream(path, cache)

    return Kind(path, read)


def _records(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    opened = Artifact.open(artifact)
    with Session(opened, checkpoint_dir=work) as session:
        loop.run(session, lambda at: driving.stream(opened.manifest, at), 40, work)
    path = work / loop.RECORDS

    def read() -> list:
        journal.keep(path, 40)
        found = list(journal.read(path))
        told = records.summarize(found, 40, 40, False)
        assert told.lost_records == 40 - len(found)
        return found

    return Kind(path, read, parts=True)


def _facts(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    facts = {"model": "a" * 64, "dataset": "digits", "seed": 0, "settings": {"a": 0.1}}
    records.note_facts(work, facts)
    read = lambda: records.note_facts(work, facts)  # noqa: E731
    return Kind(work / records.FACTS, read)


def _plan(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
    from tflite_odl import methods
    from tools.robust import nets

    method, net, options = nets.CASES[nets.SMALL]
    made = methods.METHODS[method](net(), **options)
    file = work / "plan.json"
    file.write_text(json.dumps(made.plan_names()))

    def read() -> dict:
        chosen = plan.plan(made.network.graph, plan.read(file))
        return {node: lowering.name for node, lowering in chosen.items()}

    return Kind(file, read)


def _served(suffix: str) -> Callable[[pathlib.Path, pathlib.Path], Kind]:
    def made(artifact: pathlib.Path, work: pathlib.Path) -> Kind:
        opened, path = Artifact.open(artifact), work / "serve.tflite"
        with Session(opened) as session:
            for seed in range(3):
                session.train(**driving.batch(opened.manifest, seed))
            service.serve(path, opened, session.state(include_buffers=True))
        file = path.with_name(path.name + suffix)
        shipped = (artifact / contract.SERVING_FILE).read_bytes()

        def read() -> str:
            model = service.in_service(path, opened)
            return (
                "shipped"
                if model == shipped
                else driving.digest({"model": np.frombuffer(model, np.uint8)})
            )

        return Kind(file, read)

    return made


NAMES: dict[str, Callable[[pathlib.Path, pathlib.Path], Kind]] = {
    "model in its folder": _in_folder(contract.MODEL_FILE),
    "bare model": _bare,
    "manifest": _in_folder(contract.MANIFEST_FILE),
    "goldens": _goldens,
    "checkpoint": _checkpoint,
    "packed stream": _packed,
    "recording (npz)": _npz,
    "records": _records,
    "run.json": _facts,
    "plan": _plan,
    "twin in the folder": _in_folder(contract.SERVING_FILE),
    "twin in service": _served(""),
    "its note": _served(service.NOTE_SUFFIX),
}
