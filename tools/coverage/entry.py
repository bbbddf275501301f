"""The suite coverage: which models export and pass the gate, and what they come to."""

from __future__ import annotations

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes

from tools.coverage import models, page, suite


def main(request) -> str:
    """Measures what is missing, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(models.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(models.CASES)}")
    names = request.cases or tuple(models.QUICK if request.quick else models.CASES)
    plan = suite.Plan(names, bool(request.cases), request.keep, request.seconds)
    records = suite.run(request.work, plan, request.say)
    if request.quick:
        records = [record for record in records if record["name"] in names]
    results = {
        "machine": processes.machine(),
        "versions": processes.versions(),
        "records": records,
    }
    text = page.page(results, request.command)
    if not request.quick:
        request.out.mkdir(parents=True, exist_ok=True)
        (request.out / "records.json").write_text(json.dumps(results, indent=1) + "\n")
        (request.out / "README.md").write_text(text)
    return text
