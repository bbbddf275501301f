"""Runs under the emulator: makes a job's calls, each between two markers.

`python -m tflite_odl.desk.arm.guest JOB`. The plugin writes what was executed since the
last marker, a call of getppid, so that file 2n + 1 holds call n alone.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys

from tflite_odl.desk import replay
from tflite_odl.errors import OdlError

# The first calls of a signature lay out memory and pack constants.
WARM = 2
MAPS = "maps"


def main(folder: pathlib.Path) -> None:
    with replay.opened(folder) as (runtime, calls):
        for call in calls:
            for _ in range(WARM):
                replay.replay(runtime, [call])
            os.getppid()
            runtime.run(call.signature, call.inputs)
            os.getppid()
        shutil.copyfile("/proc/self/maps", folder / MAPS)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except OdlError as error:
        sys.exit(f"{type(error).__name__}: {error}")
