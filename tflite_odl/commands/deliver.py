"""Takes the student of a run of distill out of its artifact, to be delivered alone:

tflite-odl deliver runs/distill --out=student

student.tflite is installed, student.packed downloaded; student.json tells of both.
"""

from __future__ import annotations

import json
import pathlib

from absl import app, flags

from tflite_odl.commands import parsing, quiet, terminal
from tflite_odl.errors import DataError, OdlError
from tflite_odl.exporter import deliver
from tflite_odl.host import records
from tflite_odl.host.artifact import Artifact

_OUT = flags.DEFINE_string("out", None, "the folder to write", required=True)
_ARTIFACT = flags.DEFINE_string("artifact", None, "trained; else the one the run notes")
_DENSE_BITS = flags.DEFINE_integer(
    "dense_bits", 8, "of dense kernels whose levels fit: 4 and 2 need newer runtimes"
)


def main(arguments: list[str]) -> int:
    quiet.start()
    console = terminal.console(stderr=True)
    if len(arguments) != 2:
        console.out("usage: tflite-odl deliver RUN --out=FOLDER")
        return 2
    run = pathlib.Path(arguments[1])
    try:
        artifact = Artifact.open(_ARTIFACT.value or _noted(run))
        student = deliver.deliver(artifact, run, _DENSE_BITS.value)
        folder = student.save(_OUT.value)
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        console.out("nothing was written")
        return 2
    about = json.loads((folder / deliver.ABOUT).read_text())
    summary = {
        "student": str(folder),
        "oldest_runtime": about["oldest_runtime"],
        "installed_bytes": about["installed"]["bytes"],
        "downloaded_bytes": about["download"]["bytes"],
        "quantized_kernels": deliver.totals(about["kernels"]),
    }
    print(json.dumps(summary))
    return 0


def _noted(run: pathlib.Path) -> str:
    found = records.read_facts(run).get("artifact")
    if found is None:
        raise DataError(f"{run} does not note its artifact: name it with --artifact")
    return found


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__))
