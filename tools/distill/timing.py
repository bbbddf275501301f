"""What a step takes: python -m tools.distill.timing FOLDER THREADS ROUNDS.

The student's plain step (finetune, real-valued), with a frozen float teacher of its own
size, and with an online one: ResNet-8 for 32 x 32, batch 32. All are loaded into one
process and take turns; a round's time is the least of three calls. Then the memory of
each, in a process of its own. Prints {"times": {arm: [ms of each round]}, "cpu": the
same of CPU time, of all threads} as JSON.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np

from tflite_odl.host.session import Session
from tools.speed import measuring

CALLS = 3
ARMS = ("finetune", "frozen", "online")
BATCH, SIZE, CLASSES = 32, (32, 32, 3), 10


def main(folder: str, threads: str, rounds: str) -> None:
    place = pathlib.Path(folder)
    sessions = {name: Session(place / name, threads=int(threads)) for name in ARMS}
    times: dict[str, list[float]] = {name: [] for name in ARMS}
    cpu: dict[str, list[float]] = {name: [] for name in ARMS}
    for number in range(-1, int(rounds)):
        for name, session in sessions.items():
            calls = [step_ms(session) for _ in range(CALLS)]
            if number >= 0:
                for kept, spent in zip((times, cpu), zip(*calls, strict=True)):
                    kept[name].append(min(spent))
    print(json.dumps({"times": times, "cpu": cpu}))


def step_ms(session: Session) -> tuple[float, float]:
    """Returns the time of one train call and its CPU time."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(BATCH, *SIZE)).astype(np.float32)
    y = (np.arange(BATCH) % CLASSES).astype(np.int32)
    start, spent = time.perf_counter(), time.process_time()
    session.train(x=x, y=y)
    spent = time.process_time() - spent
    return (time.perf_counter() - start) * 1e3, spent * 1e3


def memory(folder: str, name: str) -> None:
    """Prints {"memory_mb"}: the most resident memory above import."""
    before = measuring.resident_mb()
    with Session(pathlib.Path(folder) / name, threads=1) as session:
        for _ in range(CALLS):
            step_ms(session)
        print(json.dumps({"memory_mb": measuring.peak_mb() - before}))


def make(folder: str) -> None:
    """Converts what is timed, without the gate."""
    from tflite_odl import models
    from tflite_odl.exporter import artifact
    from tflite_odl.exporter.build import build
    from tflite_odl.methods import Distill, Finetune

    net = models.backbone("resnet8", SIZE, CLASSES)
    frozen = {"teacher": "frozen", "teacher_model": net}
    common = {"optimizer": "adam", "classes": [str(k) for k in range(CLASSES)]}
    made = {
        "finetune": Finetune(net, loss="sparse_cross_entropy", **common),
        "frozen": Distill(net, **frozen, **common),
        "online": Distill(net, **common),
    }
    for name, method in made.items():
        path = pathlib.Path(folder) / name
        if not path.exists():
            artifact.write(path, *build(method, BATCH, 1))
    print("{}")


if __name__ == "__main__":
    {"make": make, "memory": memory}.get(sys.argv[1], main)(
        *sys.argv[1 + (sys.argv[1] in ("make", "memory")) :]
    )
