"""What the study is to show of `ours`, and whether it does."""

from __future__ import annotations

from tools.contrastive import cases, figures

ABOUT = """\
Linear probe with 10 % of the labels: `ours` above `none` and `fifo`, the interval of
the differences above 0, and at most a point below the best of the other policies, those
that were run. kNN: `ours` above the untrained encoder, the interval above 0."""
STREAMS = ("signs", "phone")
SEEDS = 5
MOST_BELOW = 1.0
PROBE = "0.1"


def table(records: list[dict]) -> str:
    """Returns a row for each bar of both streams, as a table in Markdown."""
    rows = []
    for stream in STREAMS:
        found = figures.of_case(records, stream)
        if cases.OURS in found:
            for one_pass, when in ((True, "one pass"), (False, "equal seconds")):
                rows += [[stream, when, *row] for row in _of(found, one_pass)]
    return figures.table(("stream", "after", "ours -", "points", ""), rows)


def _of(found: dict, one_pass: bool) -> list[list[str]]:
    """Returns [what ours is compared with, the difference, the verdict] of each bar."""
    ours, rows = found[cases.OURS], []
    for other, name in (
        (cases.NONE, PROBE),
        (cases.FIFO, PROBE),
        (cases.UNTRAINED, "knn"),
    ):
        if other in found:
            mean, half = figures.paired(ours, found[other], name, one_pass)
            probe = ", kNN" if name == "knn" else ""
            shown = figures.interval(mean, half)
            seeds = len(ours.keys() & found[other].keys())
            rows.append([other + probe, shown, _verdict(mean - half > 0, seeds)])
    policies = {arm.name for arm in cases.POLICIES} - {cases.OURS}
    others = {
        name: figures.paired(ours, found[name], PROBE, one_pass)
        for name in policies & found.keys()
    }
    if others:
        best = min(sorted(others), key=lambda name: others[name][0])
        enough = others[best][0] >= -MOST_BELOW
        shown = figures.interval(*others[best])
        seeds = len(ours.keys() & found[best].keys())
        name = f"the best other policy, {best}"
        rows.append([name, shown, _verdict(enough, seeds)])
    return rows


def _verdict(met: bool, seeds: int) -> str:
    if seeds < SEEDS:
        return f"open: {seeds} of {SEEDS} seeds"
    return "met" if met else "MISSED"
