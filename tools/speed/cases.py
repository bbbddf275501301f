"""What is measured: nets, batches, threads, and the batch every engine learns.

Runs in every engine's environment: NumPy only.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable

import numpy as np

LEARNING_RATE = 0.05
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """One net at one batch size: all weights, batch statistics, SGD, float32."""

    name: str
    backbone: str
    shape: tuple[int, ...]
    batch: int
    options: tuple[tuple[str, float], ...] = ()


CASES = {
    case.name: case
    for case in (
        Case("resnet8-b16", "resnet8", (32, 32, 3), 16),
        Case("resnet8-b32", "resnet8", (32, 32, 3), 32),
        Case("resnet20-b16", "resnet20", (32, 32, 3), 16),
        Case("resnet20-b32", "resnet20", (32, 32, 3), 32),
        Case("mobilenet_v2-b16", "mobilenet_v2", (96, 96, 3), 16, (("alpha", 0.35),)),
    )
}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns x [B, ...] float32 and y [B] int32, the same for every engine."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(case.batch, *case.shape)).astype(np.float32)
    return x, rng.integers(0, CLASSES, case.batch).astype(np.int32)


def measure(step: Callable[[], float], seconds: float, before_mb: float) -> None:
    """Prints one JSON line: first losses, times of a step, memory above import.

    Args:
      step: trains once and returns the loss.
      seconds: how long to measure, after five steps to warm up.
      before_mb: resident memory once the engine was imported.
    """
    losses = [float(step()) for _ in range(5)]
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 10:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    result = {"losses": losses, "ms": float(np.median(times)), "least_ms": min(times)}
    print(json.dumps({**result, "memory_mb": _status("VmHWM") - before_mb}), flush=True)


def resident_mb() -> float:
    """Returns the resident memory now; from here on the peak is counted anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def keras_model(case: Case, weights: str):
    """Returns the case's Keras model with the weights every engine starts from."""
    from tflite_odl import models

    model = models.backbone(case.backbone, case.shape, CLASSES, **dict(case.options))
    with np.load(weights) as file:
        model.set_weights([file[f"arr_{n}"] for n in range(len(file.files))])
    return model
