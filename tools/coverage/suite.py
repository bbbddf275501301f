"""The coverage suite: every model exported, proven and run, each in its own process."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import processes
import records

from tools.coverage import cases, models
from tools.coverage.designs import FLAVOURS
from tools.coverage.designs_page import measured

MOST_SECONDS = 2400


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
      cases: names in `cases.NAMES`.
      again: whether to do so even if nothing has changed.
      keep: whether rows made by other sources of the library will do.
      seconds: of timing the train step.
      limit_s: when a model's process is given up.
    """

    cases: tuple[str, ...]
    again: bool = False
    keep: bool = False
    seconds: float = 2.0
    limit_s: float = MOST_SECONDS


def run(folder: pathlib.Path, plan: Plan, say: Callable[[str], None]) -> list[dict]:
    """Returns what is known of each case; one that failed has a "cause", no figures.

    Args:
      folder: keeps artifacts and records; what it holds already is not repeated.
      plan: what to measure.
      say: called with one line of progress at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    known = {record["name"]: record for record in kept}
    for name in plan.cases:
        case = cases.facts(name)
        before, library = known.get(name, {}), processes.fingerprint()
        same = before.get("library") == library or plan.keep
        whole = name in models.CASES or all(measured(before, f) for f in FLAVOURS)
        if before.get("case") == case and same and whole and not plan.again:
            continue
        record = {"name": name, "case": case, "library": library}
        known[name] = {**record, **_measure(folder, name, plan)}
        say(f"{name}: {_told(known[name])}")
        records.write(path, list(known.values()))
    return [known[name] for name in cases.NAMES if name in known]


def _measure(folder: pathlib.Path, name: str, plan: Plan) -> dict:
    command = cases.command(name, folder.resolve(), plan.seconds)
    try:
        return processes.measure(command, plan.limit_s)
    except processes.Failed as error:
        return {"cause": str(error)}


def _told(record: dict) -> str:
    """Returns a record's result in a line."""
    parts = [record, *(record[flavour] for flavour in FLAVOURS if flavour in record)]
    return "; ".join(p["cause"] for p in parts if "cause" in p) or "proven"
