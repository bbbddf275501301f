"""How the suites keep what they found, and publish it."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import processes


def write(path: pathlib.Path, value: object) -> None:
    """Writes a value as JSON; whoever reads the file never sees a part of it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=1))
    os.replace(fresh, path)


def publish(
    request, results: dict, page: Callable[..., str], script: pathlib.Path | None = None
) -> str:
    """Returns a suite's page; unless the request is quick, writes it, plots and data.

    Args:
      request: `benchmark.Request`.
      results: what was found, a list of "records" and what goes for all of them.
      page: (results, command, and what the script said, if it drew) -> text.
      script: draws: `plots.py RECORDS FOLDER`, prints last, as JSON, what page takes.
    """
    if request.quick:
        return page(results, request.command)
    request.out.mkdir(parents=True, exist_ok=True)
    data = request.out / "records.json"
    data.write_text(_lines(results))
    plots = script and _draw(request, script, data)
    text = page(results, request.command, *([plots] if plots else []))
    (request.out / "README.md").write_text(text)
    return text


def _lines(results: dict) -> str:
    """Returns results as JSON, each of their "records" on a line of its own."""
    records = ",\n".join(map(json.dumps, results["records"]))
    others = json.dumps({k: v for k, v in results.items() if k != "records"})
    return f'{others[:-1]}, "records": [\n{records}\n]}}\n'


def _draw(request, script: pathlib.Path, data: pathlib.Path) -> Any:
    """Returns what the script prints; nothing where matplotlib cannot be had."""
    work, packages = request.work, processes.PLOTTING
    try:
        drawer = processes.python(work, "plots", packages, request.say)
        return processes.measure([drawer, script, data, request.out])
    except (OSError, processes.Failed) as error:
        request.say(f"no plots: {error}")
        return None
