"""What the app does when its intent arrives, with this machine's LiteRT.

`python -m tests.android.fake_app FILES --es name value ...`; FILES: its storage.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

from tflite_odl.host import loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.goldens import check
from tflite_odl.host.session import Session
from tflite_odl.streams import packed
from tflite_odl.streams.dataset import Split


def main(files: pathlib.Path, extras: dict[str, str]) -> None:
    run = files / "runs" / extras["run"]
    artifact = files / "artifacts" / extras["artifact"]
    arrays, _ = packed.read(files / "streams" / extras["stream"])
    rows = Split(arrays["x_train"], arrays["y_train"])
    run.mkdir(parents=True)
    with Session(artifact, "interpreter", int(extras["threads"]), run) as session:
        results = check(session._runtime, Artifact.open(artifact))
        session.reset()
        told = {"engine": "LiteRT", "goldens": _goldens(results)}
        told["before"] = session.evaluate(arrays["x_test"], arrays["y_test"])
        _say(run, {**told, "state": "running"})
        loop.run(
            session,
            lambda start: rows.batches(session.batch_size, 0, start, "sequential"),
            int(extras["steps"]),
            run,
        )
        told["after"] = session.evaluate(arrays["x_test"], arrays["y_test"])
    (run / "run.json").write_text("{}")
    _say(run, {**told, "state": "done", "batch": int(extras["steps"])})


def _goldens(results) -> dict[str, int]:
    return {"passed": sum(r.passed for r in results), "all": len(results)}


def _say(run: pathlib.Path, status: dict) -> None:
    fresh = run / "status.fresh"
    fresh.write_text(json.dumps(status))
    fresh.rename(run / "status.json")


if __name__ == "__main__":
    words = sys.argv[2:]
    places = [n for n, word in enumerate(words) if word in ("--es", "--ei", "--ez")]
    main(pathlib.Path(sys.argv[1]), {words[n + 1]: words[n + 2] for n in places})
    time.sleep(1)  # the process lives on, as an app's does
