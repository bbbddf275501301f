"""The suite speed: one training step, ours and every other engine's.

Each engine has an environment of its own, made at the first run; one that cannot be had
is named on the page.
"""

from __future__ import annotations

import sys

import cases
import page
import processes
import records
import suite
from environments import HERE


def main(request) -> str:
    """Measures what is missing, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    limits = (request.seconds, request.minutes)
    plan = suite.Plan(_names(request.cases), request.threads, request.rounds, *limits)
    if request.quick:
        plan = suite.Plan(("resnet8-b16",), (2,), 1, *limits)
    found = suite.run(request.work, plan, request.say)
    try:
        overhead = processes.measure([sys.executable, HERE / "overhead.py"])
    except processes.Failed as error:
        overhead, found.skipped["a call beside its work"] = [], str(error)
    results = {"machine": processes.machine(), "overhead": overhead, **vars(found)}
    return records.publish(request, results, page.page, HERE / "plots.py")


def _names(wanted: tuple[str, ...]) -> tuple[str, ...]:
    known = {*cases.CASES, *(net.name for net in cases.NETS)}
    if unknown := sorted(set(wanted) - known):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    chosen = set(wanted) or set(cases.CASES)
    return tuple(n for n, c in cases.CASES.items() if {n, c.net.name} & chosen)
