"""Entry of the skip suite; quick: the first case, one seed, sixty steps."""

from __future__ import annotations

import json
import pathlib

import page
import study

SEEDS, QUICK_STEPS = 3, 60


def main(
    names: list[str], quick: bool, work: pathlib.Path, out: pathlib.Path, say
) -> str:
    """Runs what is missing, writes page and data unless quick; returns the page."""
    names = names[:1] if quick else names
    seeds, steps = (1, QUICK_STEPS) if quick else (SEEDS, None)
    records = study.run(work, names, seeds, 2, say, steps)
    records = [r for r in records if r["steps"] == steps and r["case"] in names]
    if quick:
        return page.page(records)
    text = page.write(records, out)
    (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    return text
