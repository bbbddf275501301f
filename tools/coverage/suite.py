"""The coverage suite: every model exported, proven and run, each in its own process."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable

import processes
import records

from tools.coverage import models

MOST_SECONDS = 2400


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
      cases: names in `models.CASES`.
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
        case = json.loads(json.dumps(dataclasses.asdict(models.CASES[name])))
        before, library = known.get(name, {}), processes.fingerprint()
        same = before.get("library") == library or plan.keep
        if before.get("case") == case and same and not plan.again:
            continue
        record = {"name": name, "case": case, "library": library}
        known[name] = {**record, **_measure(folder, name, plan)}
        say(f"{name}: {known[name].get('cause', 'proven')}")
        records.write(path, list(known.values()))
    return [known[name] for name in models.CASES if name in known]


def _measure(folder: pathlib.Path, name: str, plan: Plan) -> dict:
    script = (sys.executable, "-m", "tools.coverage.measure")
    try:
        return processes.measure(
            [*script, name, folder.resolve(), plan.seconds], plan.limit_s
        )
    except processes.Failed as error:
        return {"cause": str(error)}
