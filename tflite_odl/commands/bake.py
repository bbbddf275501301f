"""Writes what training learned into the serving twin, without TensorFlow:

tflite-odl bake artifacts/mine runs/mine --out=serve.tflite

The second argument is a checkpoint, or a folder of them: the newest valid one is taken.
With --evaluate a twin that is worse than the one in service does not replace it.
"""

from __future__ import annotations

import dataclasses
import json
import time

from absl import app, flags

from tflite_odl import streams
from tflite_odl.commands import parsing, quiet, terminal
from tflite_odl.errors import OdlError
from tflite_odl.host import service
from tflite_odl.host.artifact import Artifact

_OUT = flags.DEFINE_string("out", None, "the file to write", required=True)
_EVALUATE = flags.DEFINE_string(
    "evaluate", None, "dataset whose held-out rows the twin is judged by"
)
_MAX_DROP = flags.DEFINE_float(
    "max_drop", 0.01, "how far its score may be below that of the twin in service"
)


def main(arguments: list[str]) -> int:
    quiet.start()
    console = terminal.console(stderr=True)
    if len(arguments) != 3:
        console.out("usage: tflite-odl bake ARTIFACT CHECKPOINT --out=FILE")
        return 2
    try:
        artifact = Artifact.open(arguments[1])
        rows = _held_out() if _EVALUATE.value else None
        start = time.perf_counter()
        decision = service.serve(
            _OUT.value, artifact, arguments[2], rows, _MAX_DROP.value
        )
        took = time.perf_counter() - start
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        console.out("nothing was written")
        return 2
    summary = {"twin": _OUT.value, **dataclasses.asdict(decision)}
    print(json.dumps({**summary, "ms": round(took * 1e3, 2)}))
    return 0 if decision.taken else 1


def _held_out():
    rows = streams.open(_EVALUATE.value).test
    x = rows.x if isinstance(rows.x, dict) else {"x": rows.x}
    return x, rows.y


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__))
