"""Entry of the skip suite; quick: digits, one seed, sixty steps."""

from __future__ import annotations

import json
import pathlib

import cases
import page
import study

SEEDS, QUICK_STEPS = 3, 60


def main(names: list[str] | None, quick: bool, work: str, out: str, say) -> str:
    """Runs what is missing, writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    names = ["digits"] if quick else names or list(cases.CASES)
    for name in names:
        cases.CASES[name]
    seeds, steps = (1, QUICK_STEPS) if quick else (SEEDS, None)
    records = study.run(pathlib.Path(work), names, seeds, 2, say, steps)
    records = [r for r in records if r["steps"] == steps and r["case"] in names]
    if quick:
        return page.page(records)
    folder = pathlib.Path(out)
    text = page.write(records, folder)
    (folder / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    return text
