"""The robust suite's page, in Markdown, from its records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ABOUT = """\
What happens to runs that are killed, files that are damaged or forged, sessions that
threads share, disks that are full, and data that are poisoned. "Refused" is an error
of this package that says what is wrong, or a twin that falls back to the shipped one; a
cache that is unpacked again is equal. Everything runs on tiny nets of each method
(`tools/robust/nets.py`), in processes of their own."""

TITLES = {
    "kills": "Kills at random moments, saving included, resumed",
    "mutations": "Damaged files",
    "forged": "Forged states and manifests, hashed again",
    "threads": "Threads on one session, replayed in the order of the lock",
    "disk": "Full disks",
    "long": "Long runs in one process",
    "poison": "Poisoned batches",
    "fuzz": "Coverage-guided fuzzing of the parsers",
}
# What each line of a study has, in the order of the columns.
COLUMNS = {
    "kills": ("artifact", "runtime", "kills", "runs", "differ", "failed"),
    "mutations": (
        "kind",
        "files",
        "refused",
        "equal",
        "in part",
        "other plan",
        "other numbers",
        "traceback",
        "crash",
        "hang",
    ),
    "forged": (
        "part",
        "files",
        "refused",
        "failed and refused",
        "sound",
        "absurd",
        "traceback",
        "crash",
        "hang",
    ),
    "threads": (
        "runtime",
        "threads",
        "calls",
        "runtime_calls",
        "train",
        "infer",
        "wrong_rows",
        "differ",
        "same_state",
        "failed",
    ),
    "disk": ("job", "sizes", "largest_kb", "by", "whole", "refused", "bad"),
    "long": (
        "runtime",
        "steps",
        "growth_kb",
        "largest_growth_kb",
        "wrong_counters",
        "checkpoints",
        "seconds",
        "failed",
    ),
    "poison": ("artifact", "runtime", "poisons", "worst", "bad", "failed"),
    "fuzz": ("target", "seconds", "inputs", "edges", "corpus", "findings", "failed"),
}
NOTES = {
    "mutations": 'Of records "in part" means: some lines are lost, said so, the others '
    "are those that were written. A plan that still names a lowering that fits is "
    "another plan, which is proven as any.",
    "forged": '"Sound": used for three steps, and every number of the state is finite '
    'and in its range. "Failed and refused": the runtime failed, the session then '
    "refuses everything but a reset.",
    "poison": "Worst: how far the loss on held-out rows, 0.1 at most, is from that of "
    "a run without the poison, where no row was rejected. A net without batch norms "
    "that learns by plain gradients is ruined by a row far beyond the others but "
    "within `--feature_limit`; `--clip_norm`, a lower limit or Adam keep it from that.",
    "long": "Growth of resident memory in kB after step 1,000, at the end and at most.",
    "kills": "Differ: runs that came to other weights, records or figures than one "
    "that was never killed.",
}


def page(results: dict, command: str) -> str:
    """Returns the page of {"records", "machine", "versions"}."""
    made = f"{results['machine']}; {', '.join(results['versions'])}."
    parts = ["# Nothing lost, nothing silently wrong", ABOUT, f"    {command}", made]
    if results.get("share", 1) < 1:
        parts.append(
            f"A part, {results['share']:g} of most numbers, of what the suite runs "
            "without `--share`: 300 kills, 2,000 damaged files of each kind, "
            "4 x 10,000 calls, 1,000,000 steps, 10 minutes of fuzzing for each parser."
        )
    for study, title in TITLES.items():
        lines = list(_lines(r for r in results["records"] if r["study"] == study))
        if lines:
            parts += [f"## {title}", _table(COLUMNS[study], lines)]
            parts += [NOTES[study]] if study in NOTES else []
            parts += _bad(lines)
    return "\n\n".join(parts) + "\n"


def _lines(records: Iterable[dict]) -> Iterable[dict[str, Any]]:
    for record in records:
        several = record["of"] if isinstance(record["of"], list) else [record["of"]]
        for one in several:
            yield {"part": record["part"], **one}


def _table(columns: tuple[str, ...], lines: list[dict]) -> str:
    shown = [c for c in columns if any(c in line for line in lines)]
    head = f"| {' | '.join(name.replace('_', ' ') for name in shown)} |"
    rule = f"|{'---|' * len(shown)}"
    rows = [f"| {' | '.join(_cell(line.get(c)) for c in shown)} |" for line in lines]
    return "\n".join([head, rule, *rows])


def _cell(value: Any) -> str:
    if value is None:
        return "0"
    if isinstance(value, list):
        return ", ".join(map(str, value)).replace("|", "/") if value else "none"
    return f"{value:,}" if type(value) is int else str(value).replace("|", "/")


def _bad(lines: list[dict]) -> list[str]:
    """Returns what must not happen and did, a list item each."""
    found = [
        f"- {line['part']}: {one}" for line in lines for one in line.get("bad", ())
    ]
    return ["Not as it should be:\n\n" + "\n".join(found)] if found else []
