"""The page of the results, in Markdown."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Sequence

import agreement
from environments import ENGINES, LIMIT, OURS, REFERENCE
from figures import Figures

ABOUT = f"""\
One training step: forward, backward and SGD of all weights, float32, batch statistics.
Every engine begins with the same weights (those of `tflite_odl.models`), learns the
same batch at the same rate, and runs in a fresh process, one engine after the other, in
several rounds.

Times are in ms: the least over the rounds of the median within a round, as other work
on the machine only adds. In brackets, the median over the rounds of our time (the
better of our two plans) to that engine's in the same round: below 1, ours is faster.
"{LIMIT}" is the time of the net's matrix products alone at the rate of one large
product of NumPy (OpenBLAS); depthwise layers, batch norm, relu and moving data come on
top. Nets over time are given to the others as images one column wide. Nothing is shown
for our plan for avx512 where it is the portable one."""

CHECKED = f"""\
The loss before and after the first update against {REFERENCE}'s, relative to the first:
the worst over batches, threads and rounds. Allowed is {agreement.LEAST_TOLERANCE:g}, or
{agreement.TWIN_FACTOR:g} times as much as {REFERENCE} parts from itself in four runs
whose input is off by 1e-6: MobileNetV2 is chaotic, the others are not. The loss must
also fall in five steps. An engine that does not agree is marked, and neither its time
nor its memory is quoted."""

MEMORY = """\
Peak resident memory in MB above what the process held once its engine was imported,
the least over the rounds."""

SIZES = """\
What pip installs for the engine, on a desktop, without Python itself, dependencies and
CUDA: a phone's build is smaller. And what is shipped for a net, where there is a file:
the model that trains, at the largest batch measured."""

OVERHEAD = """\
`Session.train` on an artifact that does nothing, with its checks of names, dtypes and
shapes; in microseconds. The goal is 30 beside copying the input."""


def page(results: dict, command: str, plots: Iterable[str] = ()) -> str:
    """Returns the page of {"records", "skipped", "overhead", "machine"}."""
    figures = Figures(results["records"])
    parts = ["# Speed of a training step", ABOUT, f"    {command}"]
    if results["records"]:
        parts += [_made(results), *(f"![{name}]({name})" for name in plots)]
        parts += _measured(figures)
    if results["overhead"]:
        parts += ["## A call beside its work", OVERHEAD, _overhead(results["overhead"])]
    parts += ["## Not measured", _skipped(results["skipped"])]
    return "\n\n".join(parts) + "\n"


def _measured(figures: Figures) -> list[str]:
    parts = []
    for threads in figures.threads:
        parts += [f"## {threads} thread{'s'[: threads > 1]}", _times(figures, threads)]
    parts += ["## Memory", MEMORY, _memory(figures)]
    parts += ["## Sizes", SIZES, _sizes(figures)]
    return [*parts, "## The same work", CHECKED, _agreement(figures)]


def _made(results: dict) -> str:
    own = f"Ours, {REFERENCE} and {LIMIT}: {', '.join(ENGINES[0].versions)}"
    peers = (f"{e.name}: {', '.join(e.versions)}" for e in ENGINES if e.packages)
    others = [r["others"] for r in results["records"]]
    load = (
        "While times were taken, other work kept busy, in cores, "
        f"{statistics.median(others):.2f} in the median, {max(others):.2f} at most"
    )
    text = ". ".join((f"Machine: {results['machine']}", load, own, *peers))
    return textwrap.fill(f"{text}.", 88, break_on_hyphens=False)


def _times(figures: Figures, threads: int) -> str:
    def cell(case: str, engine: str) -> str:
        if figures.disagrees(case, engine):
            return "no match"
        ratio = figures.ratio(case, threads, engine)
        shown = _number(figures.least("ms", case, threads, engine))
        return shown if engine in OURS or not ratio else f"{shown} ({ratio:.2f})"

    return _by_case(figures, figures.engines, cell)


def _memory(figures: Figures) -> str:
    engines = [engine for engine in figures.engines if engine != LIMIT]
    most = figures.threads[-1]
    return _by_case(
        figures,
        engines,
        lambda case, engine: _number(figures.least("memory_mb", case, most, engine)),
    )


def _sizes(figures: Figures) -> str:
    most, last = figures.threads[-1], [figures.nets[net] for net in figures.nets]
    rows = []
    for engine in (name for name in figures.engines if name != LIMIT):
        found = (figures.least("runtime_mb", c, most, engine) for c in figures.cases)
        runtime = next((size for size in found if size is not None), None)
        shipped = [
            figures.least("artifact_mb", each[max(each)], most, engine) for each in last
        ]
        sizes = [_number(size, 2) for size in shipped]
        rows.append([engine, _number(runtime, 0), *sizes])
    return _table(["engine", "runtime MB", *(f"{n} MB" for n in figures.nets)], rows)


def _agreement(figures: Figures) -> str:
    engines = [e for e in figures.engines if e not in (REFERENCE, LIMIT)]
    rows = []
    for net, each in figures.nets.items():
        references = [figures.agreements.get((c, REFERENCE)) for c in each.values()]
        allowed = _pair([a.tolerances for a in references if a])
        cells = [_worst(figures, list(each.values()), engine) for engine in engines]
        rows.append([net, *cells, allowed])
    return _table(["net", *engines, "allowed, most"], rows)


def _worst(figures: Figures, cases: list[str], engine: str) -> str:
    known = [figures.agreements.get((case, engine)) for case in cases]
    found = [each for each in known if each]
    mark = "" if all(each.holds for each in found) else " **no match**"
    return _pair([each.errors for each in found]) + mark


def _pair(found: Sequence[Sequence[float]]) -> str:
    return ", ".join(f"{max(step):.0e}" for step in zip(*found)) or "-"


def _overhead(rows: list[dict]) -> str:
    names = ("runtime", "input_kb", "call_us", "copy_us", "overhead_us")
    cells = [
        [row["runtime"], *(_number(row[name], 1) for name in names[1:])] for row in rows
    ]
    return _table(["runtime", "input KB", "call", "copying", "beside copying"], cells)


def _skipped(skipped: dict[str, str]) -> str:
    lines = [
        textwrap.fill(f"- {name}: {why}", 88, subsequent_indent="  ")
        for name, why in skipped.items()
    ]
    return "\n".join(lines) or "Nothing was left out."


def _by_case(figures: Figures, engines: list[str], cell) -> str:
    rows = [
        [case, *(cell(case, engine) for engine in engines)] for case in figures.cases
    ]
    return _table(["case", *engines], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:,.{(value < 100) + (value < 10) if digits is None else digits}f}"
