"""Long studies: python tools/benchmark.py --suite=NAME [--quick]

    python tools/benchmark.py --suite=compare ARTIFACT ARTIFACT...

Each suite is a folder beside this file, with `entry.py`; --quick is a taste of it. A
run that was stopped goes on where it was, and measures again what has changed since.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pathlib
import shlex
import sys
from collections.abc import Callable

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging

from tflite_odl.commands import quiet, terminal

SUITES = (
    "speed",
    "coverage",
    "skip",
    "contrastive",
    "distill",
    "gate",
    "quantize",
    "robust",
    "compare",
    "sequences",
)

# Where results go that are no part of the project.
_RESULTS = {"compare": "runs/compare"}

_SUITE = flags.DEFINE_enum("suite", None, SUITES, "what to study", required=True)
_QUICK = flags.DEFINE_boolean("quick", False, "a taste: three minutes, no page")
_CASES = flags.DEFINE_list("cases", None, "names of nets or cases, default all")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "speed: numbers of threads")
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "speed, compare, sequences: interleaved repetitions"
)
_SECONDS = flags.DEFINE_float("seconds", 0.7, "speed: of measuring in each process")
_MINUTES = flags.DEFINE_float(
    "minutes", 55, "speed: after which only round one goes on"
)
_FULL = flags.DEFINE_boolean(
    "full", False, "contrastive, distill: all arms, seeds and cases, some hours"
)
_KEEP = flags.DEFINE_boolean(
    "keep", False, "but for speed: keep what an older one made"
)
_SHARE = flags.DEFINE_float(
    "share", 1.0, "robust: how much of the full numbers", lower_bound=0, upper_bound=1
)
_SEEDS = flags.DEFINE_integer("seeds", None, "distill: how many, default the case's")
_WORK = flags.DEFINE_string(
    "work", None, "models, records, environments; .cache/SUITE if unset"
)
_OUT = flags.DEFINE_string(
    "out", None, "where page and data go; docs/results/SUITE, or runs/compare, if unset"
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a suite is asked for.

    Attributes:
      cases: names, empty for all; of the suite compare, paths of artifacts.
      quick: three minutes; the page is only printed.
      threads, rounds, seconds, minutes: of the suite speed.
      full: of the suites contrastive and distill: hours instead of one.
      keep: of all suites but speed.
      seeds: of the suite distill; None takes each case's.
      share: of the suite robust.
      work: folder that keeps what is found between runs.
      out: folder of page and data.
      command: as it was typed.
      say: takes one line of progress.
    """

    cases: tuple[str, ...]
    quick: bool
    threads: tuple[int, ...]
    rounds: int
    seconds: float
    minutes: float
    full: bool
    keep: bool
    seeds: int | None
    share: float
    work: pathlib.Path
    out: pathlib.Path
    command: str
    say: Callable[[str], None]


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    quiet.start()
    console = terminal.console(stderr=True)
    suite = _SUITE.value
    given = tuple(argv[1:])
    if given and suite != "compare":
        console.out(f"unknown arguments {argv[1:]}: this tool takes flags only")
        return 2
    # Plain scripts, some of which run in environments without this package.
    sys.path.insert(0, str(pathlib.Path(__file__).parent / suite))
    request = Request(
        cases=given or tuple(_CASES.value or ()),
        quick=_QUICK.value,
        threads=tuple(map(int, _THREADS.value)),
        rounds=_ROUNDS.value,
        seconds=_SECONDS.value,
        minutes=_MINUTES.value,
        full=_FULL.value,
        keep=_KEEP.value,
        seeds=_SEEDS.value,
        share=_SHARE.value,
        work=pathlib.Path(_WORK.value or f".cache/{suite}"),
        out=pathlib.Path(_OUT.value or _RESULTS.get(suite, f"docs/results/{suite}")),
        command=shlex.join(["python", *sys.argv]),
        say=console.out,
    )
    try:
        print(importlib.import_module("entry").main(request))
    except KeyError as error:
        console.out(f"--cases: {error.args[0]}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(app.run(main))
