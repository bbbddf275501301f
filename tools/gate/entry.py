"""The suite gate: five faults in nets of a real size, which the gate must find."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tools.gate import cases, page

MOST_SECONDS = 3600


def main(request) -> str:
    """Tries every net, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    names = request.cases or tuple(cases.QUICK if request.quick else cases.CASES)
    found = []
    for name in names:
        request.say(f"{name}: an artifact without a fault, and five with one")
        script = (sys.executable, "-m", "tools.gate.measure", name)
        try:
            found.append({"name": name, **processes.measure(script, MOST_SECONDS)})
        except processes.Failed as error:
            found.append({"name": name, "records": [], "cause": str(error)})
    results = {
        "machine": processes.machine(),
        "versions": processes.versions(),
        "records": found,
    }
    return records.publish(request, results, page.page)
