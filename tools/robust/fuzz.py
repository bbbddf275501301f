"""Fuzzes a parser by coverage: python -m tools.robust.fuzz TARGET FOLDER SECONDS

FOLDER keeps the corpus. A parser may refuse its input with an OdlError; whatever else
it raises is a finding. Needs atheris.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["tflite_odl"]):
    from tflite_odl import contract
    from tflite_odl.contract.manifest import Manifest
    from tflite_odl.errors import OdlError
    from tflite_odl.host import bake, checkpoint, embedded, interface, journal, records
    from tflite_odl.streams import npz, packed

MOST_BYTES = 65536


def _filed(
    read: Callable[[pathlib.Path], object], name: str
) -> Callable[[bytes], None]:
    """Returns a target that hands a parser its input as a file."""
    folder = pathlib.Path(tempfile.mkdtemp())
    path = folder / name

    def target(content: bytes) -> None:
        path.write_bytes(content)
        read(path)

    return target


def _checkpoint() -> Callable[[bytes], None]:
    state = (contract.TensorSpec("step", "int32", (1,), "counter"),)
    save = contract.Signature(
        "save", (contract.TensorSpec("u", "float32", (1,)),), state
    )
    manifest = Manifest("a" * 64, {"name": "m", "config": {}}, {"save": save}, state)
    return _filed(lambda path: checkpoint.load(path, manifest), "c.safetensors")


def _records(path: pathlib.Path) -> None:
    journal.keep(path, 9)
    records.summarize(journal.read(path), 9, 9, False)


def _twin(content: bytes) -> None:
    try:
        serving = json.loads(content)
    except (ValueError, RecursionError):
        return
    twin = bake.Twin.from_json(serving)
    bake.patched(bytes(64), twin, {})


TARGETS: dict[str, Callable[[], Callable[[bytes], object]]] = {
    "seal": lambda: embedded.manifest,
    "signatures": lambda: interface.signatures,
    "signature": lambda: embedded.signed_digest,
    "manifest": lambda: Manifest.from_json,
    "twin": lambda: _twin,
    "checkpoint": _checkpoint,
    "packed": lambda: _filed(packed.read, "a.stream"),
    "npz": lambda: _filed(lambda path: npz._unpack(path), "a.npz"),
    "records": lambda: _filed(_records, "r.jsonl"),
    "facts": lambda: _filed(
        lambda path: records.note_facts(path.parent, {"a": 1}), records.FACTS
    ),
}


def main(target: str, folder: str, seconds: str) -> None:
    parse = TARGETS[target]()

    def one(content: bytes) -> None:
        try:
            parse(content)
        except OdlError:
            return

    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-artifact_prefix={folder}/finding-",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"{folder}/corpus",
    )
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
