"""The suite distill: binary students on real data, every arm from the same weights."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.distill import cases, page, suite

HERE = pathlib.Path(__file__).parent
QUICK = ("digits",)
QUICK_ARMS = ("student alone", "T = 4", "ours")
QUICK_STEPS = 200


def main(request) -> str:
    """Runs what is missing, writes page, plots and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    names = request.cases or (cases.FULL if request.full else cases.DEFAULT)
    plan = suite.Plan(names, request.seeds, keep=request.keep)
    work = request.work
    if request.quick:
        plan = suite.Plan(
            request.cases or QUICK, 1, QUICK_STEPS, QUICK_ARMS, request.keep, rounds=2
        )
        work /= "quick"
    results = suite.Study(work, plan, request.say).run()
    results |= {"machine": processes.machine(), "versions": processes.versions()}
    return records.publish(request, results, page.page, HERE / "plots.py")
