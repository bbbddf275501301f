"""The suite contrastive: what a stream teaches under each policy, by probes."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.contrastive import cases, page, suite

HERE = pathlib.Path(__file__).parent
QUICK = ("phone",)
QUICK_ARMS = (cases.OURS, cases.NONE, cases.FIFO, cases.UNTRAINED)


def main(request) -> str:
    """Runs what is missing, writes page, plots and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    names = tuple(request.cases or cases.CASES)
    plan = suite.Plan(names, keep=request.keep, full=request.full)
    work = request.work
    if request.quick:
        names = tuple(request.cases or QUICK)
        plan = suite.Plan(names, request.keep, 1, 3, 1, QUICK_ARMS)
        work /= "quick"
    results = suite.Study(work, plan, request.say).run()
    results |= {"machine": processes.machine(), "versions": processes.versions()}
    return records.publish(request, results, page.page, HERE / "plots.py")
