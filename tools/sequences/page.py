"""The page of the suite sequences."""

from __future__ import annotations

import statistics

from tools.coverage.page import table
from tools.sequences.cases import CASES

TITLE = "# Nets over time"
ABOUT = """\
One training step on one thread: ours through LiteRT, and TFLite with the Flex library
by the official recipe, from the same weights on the same rows. Batch 16, all weights,
SGD, float32. Rounds are interleaved, each in a fresh process; a ratio is that of a
round, its median and range are shown. Times are CPU times of the process, which other
work on the machine changes less than wall times; "others" says how many cores it kept
busy."""
HEAD = (
    "net",
    "export s (CPU)",
    "ops",
    "ours ms",
    "Flex ms",
    "ours / Flex",
    "bound",
    "losses differ",
    "others",
)


def page(results: dict, command: str) -> str:
    """Returns the page as Markdown."""
    rows = [_row(record) for record in results["records"]]
    about = f"Machine: {results['machine']}. {', '.join(results['versions'])}."
    parts = (TITLE, ABOUT, f"    {command}", about, table(HEAD, rows))
    return "\n\n".join(parts) + "\n"


def ratios(record: dict) -> list[float]:
    """Returns our CPU time over Flex' of each round."""
    return [r["ours"]["cpu_ms"] / r["flex"]["cpu_ms"] for r in record["rounds"]]


def difference(record: dict) -> float:
    """Returns the largest relative difference of the first losses of both."""
    first = record["rounds"][0]
    pairs = zip(first["ours"]["losses"], first["flex"]["losses"], strict=True)
    return max(abs(a - b) / abs(b) for a, b in pairs)


def _row(record: dict) -> list[str]:
    case, found, rounds = CASES[record["case"]], ratios(record), record["rounds"]
    times = [
        f"{statistics.median(r[engine]['cpu_ms'] for r in rounds):.1f}"
        for engine in ("ours", "flex")
    ]
    spread = f"{min(found):.2f} - {max(found):.2f}"
    others = statistics.median(r[e]["others"] for r in rounds for e in r)
    return [
        f"{case.about}, batch {case.batch}",
        f"{record['export_s']:.0f} ({record['export_cpu_s']:.0f})",
        f"{record['ops']:,}",
        *times,
        f"{statistics.median(found):.2f} ({spread})",
        f"{case.most}",
        f"{difference(record):.0e}",
        f"{others:.1f}",
    ]
