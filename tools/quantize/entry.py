"""The suite quantize: every recipe of every case, each in its own process."""

from __future__ import annotations

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

from tflite_odl import streams
from tflite_odl.errors import DataError
from tools.quantize import cases, page

MOST_SECONDS = 3600
PLOTS = pathlib.Path(__file__).parent / "plots.py"


def main(request) -> str:
    """Measures what is not known yet, writes page and data unless quick; returns the
    page.

    A case whose recording is not here is left out.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    names = request.cases or tuple(cases.QUICK if request.quick else cases.CASES)
    path = request.work / ("quick.json" if request.quick else "records.json")
    request.work.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else []
    library = processes.fingerprint()
    kept = [r for r in known if request.keep or r["library"] == library]
    for name in names:
        try:
            streams.open(cases.CASES[name].user)
        except DataError as error:
            request.say(f"{name} is left out: {error}")
            continue
        wanted = cases.CASES[name].variants or tuple(cases.VARIANTS)
        for variant in cases.QUICK[name] if request.quick else wanted:
            if any((r["case"], r["variant"]) == (name, variant) for r in kept):
                continue
            request.say(f"{name}: {variant}")
            kept.append(_measured(request, name, variant, library))
            records.write(path, kept)
    results = {
        "machine": processes.machine(),
        "versions": processes.versions(),
        "records": [r for r in kept if r["case"] in names],
    }
    return records.publish(request, results, page.page, PLOTS)


def _measured(request, name: str, variant: str, library: str) -> dict:
    record = {"case": name, "variant": variant, "library": library}
    quick = ("quick",) if request.quick else ()
    script = (sys.executable, "-m", "tools.quantize.measure", name, variant)
    try:
        found = processes.measure((*script, request.work, *quick), MOST_SECONDS)
        return {**record, **found}
    except processes.Failed as error:
        return {**record, "cause": str(error)}
