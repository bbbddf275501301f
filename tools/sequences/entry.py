"""The suite sequences: a step of nets over time, ours and TFLite's with Flex."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.sequences import page
from tools.sequences.cases import CASES

HERE = pathlib.Path(__file__).parent
PACKAGES = ("tensorflow==2.18.1", "tf_keras==2.18.0")
ENGINES = ("ours", "flex")
SECONDS = 3.0  # of measuring in each process


def main(request) -> str:
    """Measures in interleaved rounds, writes page and data unless quick; returns the
    page. What is converted is kept, steps are measured anew.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(CASES)}")
    names = request.cases or tuple(CASES)
    request.work.mkdir(parents=True, exist_ok=True)
    python = processes.python(request.work, "flex", PACKAGES, request.say)
    run = _runner({"ours": sys.executable, "flex": python}, request)
    rounds = 1 if request.quick else request.rounds
    results = {
        "machine": processes.machine(),
        "versions": [*processes.versions(), *PACKAGES],
        "records": [_measured(name, rounds, run) for name in names],
    }
    return records.publish(request, results, page.page)


def _runner(pythons: dict[str, str], request) -> Callable[[str, str, float], dict]:
    """Returns (engine, case, seconds) -> what its script prints."""

    def run(engine: str, name: str, seconds: float) -> dict:
        kept = request.work / f"{name}.{engine}.json"
        if not seconds and kept.exists() and request.keep:
            return json.loads(kept.read_text())
        script = HERE / f"{engine}.py"
        command = [pythons[engine], script, name, seconds, request.work.resolve()]
        found = processes.measure(command)
        if not seconds:
            records.write(kept, found)
        else:
            request.say(f"{name}, {engine}: {found['cpu_ms']:.1f} ms")
        return found

    return run


def _measured(name: str, rounds: int, run: Callable[..., dict]) -> dict:
    """Returns a case's record: what each engine's conversion says, and its rounds."""
    record = {"case": name}
    for engine in ENGINES:
        record |= run(engine, name, 0)
    steps = [{e: run(e, name, SECONDS) for e in ENGINES} for _ in range(rounds)]
    return {**record, "rounds": steps}
