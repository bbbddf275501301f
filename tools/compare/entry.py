"""The suite compare: artifacts of yours beside each other, and for which phones."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tflite_odl import contract
from tflite_odl.desk import parity, profiles
from tflite_odl.desk.arm import counting, environment
from tflite_odl.errors import OdlError
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime
from tools.compare import fitting, page


def main(request) -> str:
    """Measures the artifacts in turns; returns the page, and writes it to `--out`.

    Raises:
      KeyError: fewer than two artifacts, or one that cannot be opened.
    """
    paths = dict(zip(_names(request.cases), request.cases))
    if len(paths) < 2:
        raise KeyError("give two artifacts or more, of different names")
    try:
        opened = {name: Artifact.open(path) for name, path in paths.items()}
    except OdlError as error:
        raise KeyError(str(error)) from error
    threads, rounds = request.threads[-1], 2 if request.quick else request.rounds
    turns = []
    for number in range(rounds):
        request.say(f"round {number + 1} of {rounds}")
        order = list(paths) if number % 2 == 0 else list(paths)[::-1]
        turns.append({n: _measured(paths[n], threads, request.seconds) for n in order})
    counts = {
        name: _counted(artifact, request.say) for name, artifact in opened.items()
    }
    fits = [
        fitting.fit(name, artifact, profiles.load(device), counts[name])
        for device in profiles.names()
        for name, artifact in opened.items()
    ]
    results = {
        "machine": processes.machine(),
        "threads": threads,
        "rounds": [{n: one["calls"] for n, one in turn.items()} for turn in turns],
        "advice": fitting.advice(fits, list(opened)),
        "records": [
            _facts(name, artifact, max(turn[name]["memory_mb"] for turn in turns))
            | {"counts": counts[name]}
            for name, artifact in opened.items()
        ],
    }
    return records.publish(request, results, page.page)


def _names(paths: tuple[str, ...]) -> list[str]:
    """Returns the folders' names, or as much of the paths as tells them apart."""
    parts = [pathlib.Path(path).resolve().parts for path in paths]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names if parts else []


def _measured(path: str, threads: int, seconds: float) -> dict:
    script = (sys.executable, "-m", "tools.compare.measure", path, threads, seconds)
    try:
        return processes.measure(script)
    except processes.Failed as error:
        raise KeyError(f"{path}: {error}") from error


def _counted(artifact: Artifact, say) -> dict[str, float]:
    """Returns {core: millions of cycles of a step, by estimate}; {} where nothing is
    set up to count with."""
    if not environment.usual_home().is_dir():
        say("nothing is counted: `python -m tflite_odl.desk.arm` sets up ARM64 once")
        return {}
    with InterpreterRuntime(artifact.model, artifact.manifest, 1) as runtime:
        batches = list(parity.golden_batches(artifact, 1))
        call = next(parity.calls_of(runtime, artifact.manifest, batches))
    found = {}
    for core in dict.fromkeys(profiles.load(name).core for name in profiles.names()):
        say(f"count a step of {artifact.path.name} on {core}")
        (count,) = counting.count(environment.ready(core), artifact.path, [call])
        found[core] = count.estimate
    return found


def _facts(name: str, artifact: Artifact, measured_mb: float) -> dict:
    manifest = artifact.manifest
    model = manifest.delivery.get(contract.MODEL_FILE, {})
    return {
        "name": name,
        "id": manifest.artifact_id,
        "method": manifest.method["name"],
        "quantization": manifest.quantization.get("recipe", "float32"),
        "batch": manifest.signature(contract.TRAIN).inputs[0].shape[0],
        "model_kb": len(artifact.model) / 1e3,
        "compressed_kb": model.get("zstd", model.get("deflate", 0)) / 1e3,
        "state_kb": sum(spec.bytes for spec in manifest.state) / 1e3,
        "memory_mb": manifest.memory[contract.TRAIN]["total"] / 2**20,
        "measured_mb": measured_mb,
    }
