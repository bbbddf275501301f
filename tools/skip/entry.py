"""The suite skip: every policy on real data, for the same seconds or the same steps."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.skip import cases, page, suite

HERE = pathlib.Path(__file__).parent
QUICK = ("digits",)
QUICK_EPOCHS = 3


def main(request) -> str:
    """Runs what is missing, writes page, plots and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    names = tuple(request.cases or cases.CASES)
    plan = suite.Plan(names, keep=request.keep)
    work = request.work
    if request.quick:
        names = request.cases or QUICK
        plan = suite.Plan(names, 1, request.keep, rounds=2, epochs=QUICK_EPOCHS)
        work /= "quick"
    results = suite.Study(work, plan, request.say).run()
    results |= {"machine": processes.machine(), "versions": processes.versions()}
    return records.publish(request, results, page.page, HERE / "plots.py")
