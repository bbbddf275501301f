"""Repeats an artifact's goldens on whatever LiteRT this Python has.

`python -m tflite_odl.desk.proving ARTIFACT RUNTIME THREADS` prints the results as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from tflite_odl.desk.replay import KINDS
from tflite_odl.errors import OdlError
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact


def prove(artifact: Artifact, runtime: str, threads: int) -> list[goldens.Result]:
    """Makes the golden calls on a fresh runtime, by its name in `replay.KINDS`."""
    kind = KINDS[runtime]
    with kind(artifact.model, artifact.manifest, threads) as opened:
        return goldens.check(opened, artifact)


if __name__ == "__main__":
    try:
        found = prove(Artifact.open(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except OdlError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps([dataclasses.asdict(result) for result in found]))
