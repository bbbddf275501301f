"""Entry of the skip suite; quick: digits, one seed, sixty steps."""

from __future__ import annotations

import json

import cases
import page
import study

SEEDS, QUICK_STEPS = 3, 60


def main(request) -> str:
    """Runs what is missing, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    names = list(request.cases or cases.CASES)
    if unknown := sorted(set(names) - set(cases.CASES)):
        raise KeyError(f"unknown {unknown}, there are {list(cases.CASES)}")
    if request.quick:
        names = ["digits"]
    seeds, steps = (1, QUICK_STEPS) if request.quick else (SEEDS, None)
    records = study.run(request.work, names, seeds, 2, request.say, steps)
    records = [r for r in records if r["steps"] == steps and r["case"] in names]
    if request.quick:
        return page.page(records)
    text = page.write(records, request.out)
    (request.out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    return text
