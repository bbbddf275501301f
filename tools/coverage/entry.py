"""The suite coverage: which models export and pass the gate, and what they come to."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.coverage import cases, models, page, suite


def main(request) -> str:
    """Measures what is missing, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.NAMES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.NAMES)}")
    names = request.cases or tuple(models.QUICK if request.quick else cases.NAMES)
    plan = suite.Plan(names, bool(request.cases), request.keep, request.seconds)
    found = suite.run(request.work, plan, request.say)
    if request.quick:
        found = [record for record in found if record["name"] in names]
    results = {
        "machine": processes.machine(),
        "versions": processes.versions(),
        "records": found,
    }
    return records.publish(request, results, page.page)
