"""The speed suite: one training step on each engine, interleaved, fresh processes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import processes
import records
import sources
from environments import ENGINES, Engine
from processes import python


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
      cases: their names.
      threads: numbers of threads.
      rounds: interleaved repetitions.
      seconds: of measuring in each process.
      minutes: after which no engine is started any more, but for the first round.
    """

    cases: tuple[str, ...]
    threads: tuple[int, ...]
    rounds: int
    seconds: float
    minutes: float


@dataclasses.dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes:
      records: one for each case, number of threads, engine and round.
      skipped: {an engine, a net, "case, engine", ...: why it was not measured}.
    """

    records: list[dict]
    skipped: dict[str, str]


def run(folder: pathlib.Path, plan: Plan, say: Callable[[str], None]) -> Results:
    """Returns the results of a plan; what `folder` holds already is not repeated.

    Args:
      folder: keeps environments, nets, artifacts, and the records so far.
      say: called with one line of progress at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + plan.minutes * 60
    path, skipped, found = folder / "records.json", {}, []
    kept = json.loads(path.read_text()) if path.exists() else []
    known = {_key(record): record for record in kept}
    pythons = _pythons(folder, skipped, say)
    stamps = sources.prepare(folder, plan.cases, pythons, skipped, say)
    for job, engine in _jobs(plan, stamps):
        name, key = f"{job['case']}, {engine.name}", _key(job)
        if name in skipped:
            continue
        if known.get(key, {}).get("stamp") != job["stamp"]:
            if job["round"] and time.monotonic() > end:
                skipped["further rounds"] = "no time was left: run it again"
                continue
            about = (folder, job["case"], job["threads"], plan.seconds)
            command = sources.command(engine, pythons[engine.name], *about)
            try:
                known[key] = {**job, **processes.measure(command)}
            except processes.Failed as error:
                skipped[name] = str(error)
                say(f"{key}: {error}")
                continue
            say(f"{key}: {known[key]['ms']:.1f} ms")
            records.write(path, list(known.values()))
        found.append(known[key])
    return Results(found, skipped)


def _jobs(plan: Plan, stamps: dict) -> Iterator[tuple[dict, Engine]]:
    """Yields rounds of everything, the engines next to each other."""
    for number in range(plan.rounds):
        for case in plan.cases:
            for threads in plan.threads:
                for engine in ENGINES:
                    stamp = stamps.get((case, engine.name))
                    job = {"case": case, "threads": threads, "engine": engine.name}
                    if stamp:
                        yield {**job, "round": number, "stamp": stamp}, engine


def _key(record: dict) -> str:
    names = ("case", "threads", "engine", "round")
    return " / ".join(f"{record[name]}" for name in names)


def _pythons(
    folder: pathlib.Path, skipped: dict[str, str], say: Callable
) -> dict[str, str]:
    """Returns {engine: its Python}; notes those that cannot be had in `skipped`."""
    found = {}
    for engine in ENGINES:
        try:
            place = python(folder, engine.environment, engine.packages, say)
        except OSError as error:
            skipped[engine.name] = str(error)
            say(f"{engine.name} is skipped: {error}")
        else:
            found[engine.name] = place
    return found
