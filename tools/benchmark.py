"""Long studies: python tools/benchmark.py --suite=speed [--quick]

Each engine gets an environment of its own under --work, made at the first run; one that
cannot be had is named on the page. A run that was stopped goes on where it was, and
measures again what has changed since.
"""

from __future__ import annotations

import json
import pathlib
import shlex
import sys

from absl import app, flags, logging
from rich.console import Console

sys.path.insert(0, str(pathlib.Path(__file__).parent / "speed"))
import cases
import page
import processes
import suite
from environments import HERE, PLOTTING, python

_SUITE = flags.DEFINE_enum("suite", None, ["speed"], "what to study", required=True)
_QUICK = flags.DEFINE_boolean("quick", False, "one net, one round: three minutes")
_CASES = flags.DEFINE_list("cases", None, "names of nets or cases, default all")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "numbers of threads")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "interleaved repetitions")
_SECONDS = flags.DEFINE_float("seconds", 0.7, "of measuring in each process")
_MINUTES = flags.DEFINE_float("minutes", 55, "after which only round one goes on")
_WORK = flags.DEFINE_string("work", ".cache/speed", "environments, models, records")
_OUT = flags.DEFINE_string("out", "docs/results/speed", "where page and data go")

PLOTS = ("step_time.png", "memory.png")


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console(stderr=True)
    wanted = _CASES.value or list(cases.CASES)
    known = {*cases.CASES, *(net.name for net in cases.NETS)}
    unknown = sorted({*wanted, *argv[1:]} - known)
    if unknown or len(argv) > 1:
        console.print(f"unknown {unknown}: cases are {list(cases.CASES)}", markup=False)
        return 2
    names = [n for n, c in cases.CASES.items() if {n, c.net.name} & set(wanted)]
    threads = tuple(int(count) for count in _THREADS.value)
    limits = (_SECONDS.value, _MINUTES.value)
    plan = suite.Plan(tuple(names), threads, _ROUNDS.value, *limits)
    if _QUICK.value:
        plan = suite.Plan(("resnet8-b16",), (2,), 1, *limits)
    work, out = pathlib.Path(_WORK.value), pathlib.Path(_OUT.value)
    say = lambda text: console.print(text, markup=False, highlight=False)  # noqa: E731
    found = suite.run(work, plan, say)
    try:
        overhead = processes.measure([sys.executable, HERE / "overhead.py"])
    except processes.Failed as error:
        overhead, found.skipped["a call beside its work"] = [], str(error)
    command = shlex.join(["python", *sys.argv])
    results = {"machine": page.machine(), "overhead": overhead, **vars(found)}
    if _QUICK.value:
        print(page.page(results, command))
        return 0
    out.mkdir(parents=True, exist_ok=True)
    (out / "records.json").write_text(_lines(results))
    text = page.page(results, command, _draw(work, out, say))
    (out / "README.md").write_text(text)
    print(text)
    return 0


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
