"""The skip suite's table and plots."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib

import numpy as np

COMMAND = "python tools/benchmark.py --suite=skip"
COLUMNS = "policy, accuracy, to full, skipped, FLOPs, time, forward, seeds".split(", ")
# Backward passes cost about twice the forward pass.
BACKWARD = 2.0


def write(records: list[dict], folder: pathlib.Path) -> str:
    """Writes README.md and a plot per case into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = page(records)
    for case in _unique(records, "case"):
        if plot(records, case, folder / f"{case}.svg"):
            text += f"\n![{case}]({case}.svg)\n"
    (folder / "README.md").write_text(text)
    return text


def page(records: list[dict]) -> str:
    """Returns the results: means over seeds, differences to `full` by seed."""
    threads = _unique(records, "threads")
    lines = [
        "# Back-propagation skipped by a dynamic confidence threshold",
        "",
        "Each seed has its own weights and order of rows, shared by all policies. "
        "Accuracy: mean over seeds, and its difference to `full` of the same seed with "
        "the standard deviation of that difference. FLOPs: what packing the kept rows "
        "could save at most, forward 1, backward 2. Time: all train calls, `full` of "
        "the same seed divided by it.",
        "",
        f"Machine: {machine()}; threads: {threads}.",
        "",
        f"    {COMMAND}",
        "",
    ]
    for case in _unique(records, "case"):
        lines += [
            f"## {case}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *(_row(records, case, v) for v in _unique(records, "variant")),
            "",
        ]
    return "\n".join(lines)


def _row(records: list[dict], case: str, variant: str) -> str:
    rows = _of(records, case, variant)
    full = {r["seed"]: r for r in _of(records, case, "full")}
    gain = np.array([r["accuracy"] - full[r["seed"]]["accuracy"] for r in rows])
    skipped = np.array([r["skipped"] for r in rows])
    saved = _ceiling(skipped, rows[0]["forward"])
    times = [full[r["seed"]]["seconds"] / r["seconds"] for r in rows]
    spread = f" ± {100 * gain.std(ddof=1):.2f}" if len(gain) > 1 else ""
    return (
        f"| {variant} | {100 * np.mean([r['accuracy'] for r in rows]):.2f} % "
        f"| {100 * gain.mean():+.2f}{spread} | {100 * skipped.mean():.1f} % "
        f"| {saved.mean():.2f} x | {np.median(times):.2f} x "
        f"| {rows[0]['forward']} | {len(rows)} |"
    )


def _ceiling(skipped: np.ndarray, forward: str) -> np.ndarray:
    """Returns how many times fewer FLOPs packing the kept rows leaves."""
    again = BACKWARD + (1.0 if forward == "recompute" else 0.0)
    return (1 + BACKWARD) / (1 + again * (1 - skipped))


def plot(records: list[dict], case: str, path: pathlib.Path) -> bool:
    """Draws accuracy against time saved; returns whether matplotlib is there."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4))
    full = {r["seed"]: r for r in _of(records, case, "full")}
    for variant in _unique(records, "variant"):
        rows = _of(records, case, variant)
        x = [full[r["seed"]]["seconds"] / r["seconds"] for r in rows]
        y = [100 * r["accuracy"] for r in rows]
        marker = "o" if variant.startswith("threshold") else "x"
        axis.scatter(x, y, marker=marker, label=variant)
    axis.set(xlabel="times as fast as full", ylabel="held-out accuracy, %", title=case)
    axis.legend(fontsize="x-small")
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
    return True


def machine() -> str:
    """Returns the processor and the versions that were measured."""
    with open("/proc/cpuinfo") as file:
        found = (line.split(":")[1].strip() for line in file if "model name" in line)
        name = next(found, "unknown processor")
    packages = ("tensorflow", "ai-edge-litert", "numpy")
    versions = (f"{p} {importlib.metadata.version(p)}" for p in packages)
    return f"{name}, {os.cpu_count()} cores; {', '.join(versions)}"


def _of(records: list[dict], case: str, variant: str) -> list[dict]:
    return [r for r in records if (r["case"], r["variant"]) == (case, variant)]


def _unique(records: list[dict], key: str) -> list:
    return list(dict.fromkeys(record[key] for record in records))
