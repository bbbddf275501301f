"""Ours through LiteRT: ours.py CASE SECONDS FOLDER.

0 seconds export the artifact and keep the weights it starts from, others measure it, on
one thread.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np
from sequences.cases import CASES, LEARNING_RATE
from speed import measuring

from tflite_odl.host.session import Session


def main(name: str, seconds: str, folder: str) -> None:
    case, place = CASES[name], pathlib.Path(folder)
    if not float(seconds):
        return _export(case, place)
    before = measuring.resident_mb()
    x, y = case.data()
    with Session(place / name, threads=1) as session:
        result = measuring.measure(
            lambda: session.train(x=x, y=y)["loss"][0], float(seconds), before
        )
    return measuring.report(result)


def _export(case, folder: pathlib.Path) -> None:
    import tflite_odl as odl

    model = case.model()
    np.savez(folder / f"{case.name}.npz", *model.get_weights())
    wall, cpu = time.perf_counter(), time.process_time()
    method = odl.methods.Finetune(
        model, loss="sparse_cross_entropy", learning_rate=LEARNING_RATE
    )
    done = odl.export(method, case.batch)
    done.save(folder / case.name)
    figures = {
        "export_s": time.perf_counter() - wall,
        "export_cpu_s": time.process_time() - cpu,
        "ops": sum(done.manifest.ops["train"].values()),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
