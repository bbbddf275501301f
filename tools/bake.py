"""Writes what training learned into the serving twin, without TensorFlow:

python tools/bake.py artifacts/mine runs/mine --out=serve.tflite

The second argument is a checkpoint, or a folder of them: the newest valid one is taken.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import time

from absl import app, flags
from rich.console import Console

from tflite_odl.errors import OdlError
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.bake import bake, write

_OUT = flags.DEFINE_string("out", None, "the file to write", required=True)


def main(arguments: list[str]) -> int:
    console = Console(stderr=True)
    if len(arguments) != 3:
        console.print("usage: python tools/bake.py ARTIFACT CHECKPOINT --out=FILE")
        return 2
    try:
        artifact = Artifact.open(arguments[1])
        start = time.perf_counter()
        model = bake(artifact, arguments[2])
        took = time.perf_counter() - start
        path = write(pathlib.Path(_OUT.value), model)
    except OdlError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        console.print("nothing was written", markup=False)
        return 2
    summary = {
        "twin": str(path),
        "artifact_id": artifact.manifest.artifact_id,
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "ms": round(took * 1e3, 2),
    }
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    app.run(main)
