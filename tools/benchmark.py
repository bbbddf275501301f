"""Long studies: python tools/benchmark.py --suite=speed|coverage [--quick]

speed: one training step on every engine. Each gets an environment of its own under
--work, made at the first run; one that cannot be had is named on the page.

coverage: which models export and pass the gate, and what they come to.

A run that was stopped goes on where it was, and measures again what has changed since.
"""

from __future__ import annotations

import json
import pathlib
import shlex
import sys

from absl import app, flags, logging
from rich.console import Console

sys.path[:0] = [str(pathlib.Path(__file__).parent / "speed")]
sys.path[:0] = [str(pathlib.Path(__file__).parents[1])]
import cases
import page
import processes
import suite
from environments import HERE, PLOTTING, python

from tools.coverage import models
from tools.coverage import page as coverage_page
from tools.coverage import suite as coverage_suite

_SUITE = flags.DEFINE_enum(
    "suite", None, ["speed", "coverage"], "what to study", required=True
)
_QUICK = flags.DEFINE_boolean("quick", False, "a few nets: three minutes, no files")
_CASES = flags.DEFINE_list(
    "cases", None, "nets or cases to measure, default all; coverage: once more"
)
_KEEP = flags.DEFINE_boolean("keep", False, "coverage: keep an older library's rows")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "speed: numbers of threads")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "speed: interleaved repetitions")
_SECONDS = flags.DEFINE_float("seconds", 0.7, "of measuring in each process")
_WORK = flags.DEFINE_string("work", None, "what is kept, default .cache/<suite>")
_OUT = flags.DEFINE_string("out", None, "page and data, default docs/results/<suite>")

PLOTS = ("step_time.png", "memory.png")


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console(stderr=True)
    say = lambda text: console.print(text, markup=False, highlight=False)  # noqa: E731
    known = {
        "speed": {*cases.CASES, *(net.name for net in cases.NETS)},
        "coverage": {*models.CASES},
    }[_SUITE.value]
    unknown = sorted({*(_CASES.value or ()), *argv[1:]} - known)
    if unknown or len(argv) > 1:
        say(f"unknown {unknown}: cases are {sorted(known)}")
        return 2
    work = pathlib.Path(_WORK.value or f".cache/{_SUITE.value}")
    out = pathlib.Path(_OUT.value or f"docs/results/{_SUITE.value}")
    command = shlex.join(["python", *sys.argv])
    {"speed": _speed, "coverage": _coverage}[_SUITE.value](work, out, command, say)
    return 0


def _speed(work: pathlib.Path, out: pathlib.Path, command: str, say) -> None:
    wanted = _CASES.value or list(cases.CASES)
    names = [n for n, c in cases.CASES.items() if {n, c.net.name} & set(wanted)]
    threads = tuple(int(count) for count in _THREADS.value)
    plan = suite.Plan(tuple(names), threads, _ROUNDS.value, _SECONDS.value)
    if _QUICK.value:
        plan = suite.Plan(("resnet8-b16",), (2,), 1, _SECONDS.value)
    found = suite.run(work, plan, say)
    try:
        overhead = processes.measure([sys.executable, HERE / "overhead.py"])
    except processes.Failed as error:
        overhead, found.skipped["a call beside its work"] = [], str(error)
    results = {"machine": page.machine(), "overhead": overhead, **vars(found)}
    if _QUICK.value:
        print(page.page(results, command))
        return
    _write(out, results)
    text = page.page(results, command, _draw(work, out, say))
    (out / "README.md").write_text(text)
    print(text)


def _coverage(work: pathlib.Path, out: pathlib.Path, command: str, say) -> None:
    names = tuple(_CASES.value or (models.QUICK if _QUICK.value else models.CASES))
    again = bool(_CASES.value)
    plan = coverage_suite.Plan(names, again, _KEEP.value, _SECONDS.value)
    records = coverage_suite.run(work, plan, say)
    if _QUICK.value:
        records = [record for record in records if record["name"] in names]
    results = {
        "machine": page.machine(),
        "versions": coverage_suite.versions(),
        "records": records,
    }
    text = coverage_page.page(results, command)
    if not _QUICK.value:
        _write(out, results)
        (out / "README.md").write_text(text)
    print(text)


def _write(out: pathlib.Path, results: dict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "records.json").write_text(_lines(results))


def _lines(results: dict) -> str:
    """Returns the results as JSON, a record to a line."""
    records = ",\n".join(map(json.dumps, results["records"]))
    others = json.dumps({k: v for k, v in results.items() if k != "records"})
    return f'{others[:-1]}, "records": [\n{records}\n]}}\n'


def _draw(work: pathlib.Path, out: pathlib.Path, say) -> tuple[str, ...]:
    """Returns the names of the plots; none where matplotlib cannot be had."""
    try:
        drawer = python(work, "plots", PLOTTING, say)
        processes.run([drawer, HERE / "plots.py", out / "records.json", out])
    except (OSError, processes.Failed) as error:
        say(f"no plots: {error}")
        return ()
    return PLOTS


if __name__ == "__main__":
    sys.exit(app.run(main))
