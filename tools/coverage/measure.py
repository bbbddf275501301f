"""One model, exported and run: python -m tools.coverage.measure NAME FOLDER SECONDS

Prints its figures as a JSON line; the artifact goes into FOLDER. `conversion_s` holds
the seconds of each stage of the export, the parity gate being "prove".
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np

import tflite_odl as odl
from tflite_odl import contract
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter import partitions
from tflite_odl.host.session import Session
from tools.coverage import models

THREADS = 2
LEAST_STEPS = 5


class Stages:
    """Seconds of each stage, by the calls of `export`'s progress."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.name, self.begin = "", 0.0

    def __call__(self, name: str = "") -> None:
        now = time.perf_counter()
        if self.name:
            spent = self.seconds.get(self.name, 0.0)
            self.seconds[self.name] = spent + now - self.begin
        # What is behind a colon is a part of the stage.
        self.name, self.begin = name.split(":")[0], now


def main(name: str, folder: str, seconds: str) -> None:
    case, stages = models.CASES[name], Stages()
    model = models.build(case)
    stages("read")
    begin = time.process_time()
    taken = Preprocessing(case.dtype)
    rate = case.learning_rate
    method = odl.methods.Finetune(
        model, loss="sparse_cross_entropy", learning_rate=rate, preprocessing=taken
    )
    done = odl.export(method, case.batch, progress=stages)
    stages("write")
    path = done.save(pathlib.Path(folder) / name)
    stages()
    cpu_s = time.process_time() - begin
    record = {
        "parameters": model.count_params(),
        "layers": len(method.layers),
        "conversion_s": stages.seconds,
        "conversion_cpu_s": cpu_s,
        "conversion_mb": _peak_mb(),
        **_file(done),
        **_proofs(done.manifest.proofs),
        **_delegation(done.model),
        "ms": _step_ms(path, case, float(seconds)),
    }
    print(json.dumps(record), flush=True)


def _file(done) -> dict:
    ops, train = done.manifest.ops, done.manifest.ops[contract.TRAIN]
    flex = sum(n for each in ops.values() for op, n in each.items() if "Flex" in op)
    return {
        "train_ops": sum(train.values()),
        "flex_ops": flex,
        "artifact_mb": len(done.model) / 1e6,
        "memory_mb": done.manifest.memory[contract.TRAIN]["total"] / 1e6,
    }


def _proofs(proofs: dict) -> dict:
    """Returns the worst tensor on any runtime, Keras' own, and batches tried."""
    others = {"tensorflow_float32", "batches"}
    worst = "train_whole_tensor"
    return {
        "error": max(proofs[name].get(worst, 0.0) for name in proofs.keys() - others),
        "tensorflow_error": proofs["tensorflow_float32"][worst],
        **proofs["batches"],
    }


def _delegation(model: bytes) -> dict:
    found = partitions.partitions(model, [contract.TRAIN])[contract.TRAIN]
    return {
        "partitions": list(found.partitions),
        "outside": found.outside,
        "breaks": found.breaks,
    }


def _step_ms(path: pathlib.Path, case: models.Case, seconds: float) -> float:
    """Returns the median time of a train call."""
    rng = np.random.default_rng(7)
    x = rng.normal(0, 1, (case.batch, *case.shape)).astype(np.float32)
    if case.dtype == "uint8":
        x = rng.integers(0, 256, x.shape).astype(np.uint8)
    y = rng.integers(0, models.CLASSES, case.batch).astype(np.int32)
    times, begin = [], time.perf_counter()
    with Session(path, threads=THREADS) as session:
        session.train(x=x, y=y)
        while len(times) < LEAST_STEPS or time.perf_counter() < begin + seconds:
            start = time.perf_counter()
            session.train(x=x, y=y)
            times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


def _peak_mb() -> float:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
