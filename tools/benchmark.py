"""Long studies: python tools/benchmark.py --suite=speed|skip [--quick]"""

from __future__ import annotations

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from rich.console import Console

HERE = pathlib.Path(__file__).parent

_SUITE = flags.DEFINE_enum(
    "suite", None, ["speed", "skip"], "what to study", required=True
)
_QUICK = flags.DEFINE_boolean("quick", False, "one net, one round: minutes")
_CASES = flags.DEFINE_list("cases", None, "names of the cases, default all")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "numbers of threads")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "interleaved repetitions")
_WORK = flags.DEFINE_string(
    "work", None, "models, records, environments; .cache/SUITE if unset"
)
_OUT = flags.DEFINE_string(
    "out", None, "where page and data go; docs/results/SUITE if unset"
)


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console(stderr=True)
    # Each suite is a folder of plain scripts, some of which run in other environments.
    sys.path.insert(0, str(HERE / _SUITE.value))
    import cases
    import suite

    names = _CASES.value or list(cases.CASES)
    unknown = sorted(set(names) - set(cases.CASES))
    if unknown or len(argv) > 1:
        known = list(cases.CASES)
        console.print(f"unknown {unknown or argv[1:]}: cases are {known}", markup=False)
        return 2
    work = pathlib.Path(_WORK.value or f".cache/{_SUITE.value}")
    out = pathlib.Path(_OUT.value or f"docs/results/{_SUITE.value}")
    say = lambda text: console.print(text, markup=False, highlight=False)  # noqa: E731
    if _SUITE.value == "skip":
        print(suite.main(names, _QUICK.value, work, out, say))
    else:
        print(_speed(suite, names, work, out, say))
    return 0


def _speed(suite, names: list[str], work: pathlib.Path, out: pathlib.Path, say) -> str:
    threads, rounds = [int(t) for t in _THREADS.value], _ROUNDS.value
    if _QUICK.value:
        names, threads, rounds = names[:1], [2], 1
    records = suite.run(work, names, threads, rounds, say)
    page = suite.page(records, "python tools/benchmark.py --suite=speed")
    if not _QUICK.value:
        out.mkdir(parents=True, exist_ok=True)
        (out / "README.md").write_text(page)
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    return page


if __name__ == "__main__":
    sys.exit(app.run(main))
