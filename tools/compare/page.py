"""What was found of some artifacts, as a page in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

SIGNATURES = ("train", "infer", "evaluate")


def page(results: dict, command: str) -> str:
    """Returns the page; ratios are to the first artifact, of the same round."""
    names = [record["name"] for record in results["records"]]
    lines = [
        f"# {' and '.join(names)}",
        "",
        f"`{command}` on {results['machine']}, {results['threads']} threads, "
        f"{len(results['rounds'])} interleaved rounds.",
        "",
        *_table(("", *names), _facts(results["records"])),
        "",
        "Milliseconds of a call on this desk, which is no phone, median of the rounds; "
        f"beside it the ratio to {names[0]}, median and range of the rounds, by time "
        "and by processors' time, which other work on the machine disturbs less.",
        "",
        *_table(
            ("call", "artifact", "ms", "ratio", "ratio of CPU time"), _times(results)
        ),
        "",
    ]
    if any(record["counts"] for record in results["records"]):
        lines += [
            "Millions of cycles of a training step on one thread, by counting under "
            "emulation and a model of the caches: they compare, and promise no time.",
            "",
            *_table(("core", *names), _counts(results["records"])),
            "",
        ]
    lines += [
        "For which phone, in the order of the command line; classes of phones, see "
        "docs/devices.md:",
        "",
        *_table(("device", "take"), results["advice"].items()),
        "",
    ]
    return "\n".join(lines)


def _facts(records: Sequence[dict]) -> list[tuple]:
    rows = [
        ("method", "method"),
        ("quantization", "quantization"),
        ("rows of a batch", "batch"),
        ("model, kB", "model_kb"),
        ("compressed, kB", "compressed_kb"),
        ("state, kB", "state_kb"),
        ("memory of a step by the file, MB", "memory_mb"),
        ("memory taken here, MB", "measured_mb"),
    ]
    return [(told, *(record[key] for record in records)) for told, key in rows]


def _times(results: dict) -> list[tuple]:
    rounds, names = results["rounds"], [r["name"] for r in results["records"]]
    rows = []
    for signature in SIGNATURES:
        known = [n for n in names if all(signature in r[n] for r in rounds)]
        for name in known:
            ms = statistics.median(r[name][signature]["ms"] for r in rounds)
            ratios = ["1", "1"]
            if name != names[0] and names[0] in known:
                ratios = [
                    _ratios(
                        [
                            r[name][signature][k] / r[names[0]][signature][k]
                            for r in rounds
                        ]
                    )
                    for k in ("ms", "cpu_ms")
                ]
            rows.append((signature, name, f"{ms:.3f}", *ratios))
    return rows


def _ratios(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


def _counts(records: Sequence[dict]) -> list[tuple]:
    cores = dict.fromkeys(core for record in records for core in record["counts"])
    return [
        (
            core,
            *(f"{record['counts'].get(core, float('nan')):.1f}" for record in records),
        )
        for core in cores
    ]


def _table(head: Sequence[str], rows) -> list[str]:
    rows = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(map(_told, row))} |" for row in rows]


def _told(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
