"""Peak memory of training: python -m tools.skip.memory FOLDER ARTIFACT.

Prints {"memory_mb": ...}, in MB above what the process held once LiteRT was imported,
each bucket having run.
"""

from __future__ import annotations

import json
import pathlib
import sys

from tools.skip import timing
from tools.speed import measuring


def main(folder: str, name: str) -> None:
    before = measuring.resident_mb()
    with timing.opened(pathlib.Path(folder) / name, "1") as session:
        for rows in timing.sizes(session):
            timing.step_ms(session, rows)
        peak = measuring.peak_mb()
    print(json.dumps({"memory_mb": peak - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
