"""How the suites keep what they found: whole files only, a record to a line."""

from __future__ import annotations

import json
import os
import pathlib


def write(path: pathlib.Path, value: object) -> None:
    """Writes a value as JSON; whoever reads the file never sees a part of it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=1))
    os.replace(fresh, path)


def lines(results: dict) -> str:
    """Returns results as JSON, each of their "records" on a line of its own."""
    records = ",\n".join(map(json.dumps, results["records"]))
    others = json.dumps({k: v for k, v in results.items() if k != "records"})
    return f'{others[:-1]}, "records": [\n{records}\n]}}\n'
