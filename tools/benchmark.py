"""Long studies: python tools/benchmark.py --suite=speed [--quick]"""

from __future__ import annotations

import json
import pathlib
import sys

from absl import app, flags, logging
from rich.console import Console

sys.path.insert(0, str(pathlib.Path(__file__).parent / "speed"))
import suite

_SUITE = flags.DEFINE_enum("suite", None, ["speed"], "what to study", required=True)
_QUICK = flags.DEFINE_boolean("quick", False, "one net, one round: three minutes")
_CASES = flags.DEFINE_list("cases", None, "names of the cases, default all")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "numbers of threads")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "interleaved repetitions")
_WORK = flags.DEFINE_string("work", ".cache/speed", "environments, models, records")
_OUT = flags.DEFINE_string("out", "docs/results/speed", "where page and data go")


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console(stderr=True)
    names = _CASES.value or list(suite.cases.CASES)
    unknown = sorted(set(names) - set(suite.cases.CASES))
    if unknown or len(argv) > 1:
        known = list(suite.cases.CASES)
        console.print(f"unknown {unknown or argv[1:]}: cases are {known}", markup=False)
        return 2
    threads, rounds = [int(t) for t in _THREADS.value], _ROUNDS.value
    if _QUICK.value:
        names, threads, rounds = names[:1], [2], 1
    work, out = pathlib.Path(_WORK.value), pathlib.Path(_OUT.value)
    say = lambda text: console.print(text, markup=False, highlight=False)  # noqa: E731
    records = suite.run(work, names, threads, rounds, say)
    page = suite.page(records, "python tools/benchmark.py --suite=speed")
    if not _QUICK.value:
        out.mkdir(parents=True, exist_ok=True)
        (out / "README.md").write_text(page)
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(app.run(main))
