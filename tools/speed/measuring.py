"""What every engine's process does around its training step. NumPy only."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np

WARM_UP = 5
LEAST_STEPS = 8


def arguments() -> tuple:
    """Returns CASE THREADS SECONDS NET and options of an engine's command line."""
    name, threads, seconds, *others = sys.argv[1:]
    return name, int(threads), float(seconds), *others


def measure(step: Callable[[], float], seconds: float, before_mb: float) -> dict:
    """Returns the first losses, times of a step, memory above import, and the load.

    `cpu_ms` is the process' CPU time, on all of its threads. `others` says how many
    cores other processes kept busy while the times were taken.

    Args:
      step: trains once and returns the loss.
      seconds: how long to measure after the warm-up.
      before_mb: resident memory once the engine was imported.
    """
    losses = [float(step()) for _ in range(WARM_UP)]
    times, cpu = [], []
    begin, busy = time.perf_counter(), _busy_elsewhere_s()
    while time.perf_counter() < begin + seconds or len(times) < LEAST_STEPS:
        start, worked = time.perf_counter(), time.process_time()
        float(step())
        times.append((time.perf_counter() - start) * 1e3)
        cpu.append((time.process_time() - worked) * 1e3)
    others = (_busy_elsewhere_s() - busy) / (time.perf_counter() - begin)
    memory = peak_mb() - before_mb
    result = {"losses": losses, "ms": float(np.median(times)), "least_ms": min(times)}
    result["cpu_ms"] = float(np.median(cpu))
    return {**result, "memory_mb": memory, "others": max(others, 0.0)}


def report(result: dict, package: str = "", artifact: str | os.PathLike = "") -> None:
    """Prints the result as a JSON line, with what is installed and shipped for it.

    Args:
      package: the engine's distribution.
      artifact: the file or folder a device would be given.
    """
    if package:
        result["runtime_mb"] = _package_mb(package)
    if artifact:
        path = pathlib.Path(artifact)
        files = [path] if path.is_file() else path.rglob("*")
        result["artifact_mb"] = sum(f.stat().st_size for f in files) / 1e6
    print(json.dumps(result), flush=True)


def resident_mb() -> float:
    """Returns the resident memory now; from here on the peak is counted anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def peak_mb() -> float:
    """Returns the most resident memory since `resident_mb` was called."""
    return _status("VmHWM")


def _busy_elsewhere_s() -> float:
    """Returns the seconds that cores have worked for other processes than this."""
    with open("/proc/stat") as file:
        user, nice, system = map(int, file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - time.process_time()


def _status(name: str) -> float:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def _package_mb(name: str) -> float:
    """Returns the size of a distribution's files, but for what a CPU does not need."""
    files = importlib.metadata.files(name) or []
    kept = [f for f in files if f.suffix != ".pyc" and "providers_cuda" not in f.name]
    found = {os.path.realpath(f.locate()) for f in kept}
    return sum(os.path.getsize(f) for f in found if os.path.exists(f)) / 1e6
