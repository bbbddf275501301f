"""Times one artifact in a process of its own: measure ARTIFACT THREADS SECONDS."""

from __future__ import annotations

import json
import statistics
import sys
import time

from tflite_odl import contract
from tflite_odl.desk import limits, parity, replay
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

WARM_UP = 3
LEAST = 5


def main(path: str, threads: str, seconds: str) -> dict:
    """Returns {signature: {ms, cpu_ms}}, medians of a call, and the memory it took.

    Memory is the most that was resident, above what was before the artifact's opening.
    """
    before, found = limits.resident(), {}
    artifact = Artifact.open(path)
    with InterpreterRuntime(artifact.model, artifact.manifest, int(threads)) as runtime:
        batches = list(parity.golden_batches(artifact, 1))
        for call in parity.calls_of(runtime, artifact.manifest, batches):
            found[call.signature] = _timed(runtime, call, float(seconds))
    return {"calls": found, "memory_mb": (limits.peak() - before) / 2**20}


def _timed(runtime: InterpreterRuntime, call: replay.Call, seconds: float) -> dict:
    """Returns medians of repeated calls, of time and of processors' time."""
    runtime.run(contract.RESTORE, call.state)
    for _ in range(WARM_UP):
        runtime.run(call.signature, call.inputs)
    walls, processors, end = [], [], time.perf_counter() + seconds
    while len(walls) < LEAST or time.perf_counter() < end:
        wall, processor = time.perf_counter(), time.process_time()
        runtime.run(call.signature, call.inputs)
        walls.append(1e3 * (time.perf_counter() - wall))
        processors.append(1e3 * (time.process_time() - processor))
    return {"ms": statistics.median(walls), "cpu_ms": statistics.median(processors)}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
