"""The page of the distill suite, in Markdown."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping

from tools.distill import cases, figures

ABOUT = """\
Binary students (signs of weights and of activations; first and last layer real) learn
from fresh weights by every arm: Adam at .003, falling to 0 along a cosine, batch 32.
Each seed has its own weights and order of rows, the same for all arms. Steps are few:
a phone's, not a paper's. A tenth of the rows to learn from chooses the best
temperature and nothing else. Every run is LiteRT on one thread. The frozen teacher
was trained once, in Keras; SwitOKD and the arms called online have the student's
real-valued twin as teacher, from the student's weights. Artifacts are converted
without the gate, which the tests run on each kind of arm."""

ARMS = """\
`student alone` has labels only; `T = ...` soft targets at that temperature and labels
(.9 and .1); CTKD a learnable temperature; `standardised` standardised logits; SwitOKD
T = 1 and all weights 1; `ours` the adaptive temperature, with u = D / P unless
another is named, and bounds of weights that are trained (PWC) unless a constant one
is. Accuracies are of held-out rows: means over seeds with 95 % intervals by Student's
t, and paired differences, seed by seed, likewise."""

STEPS = """\
ResNet-8 for 32 x 32, batch 32: `finetune` of the real-valued net; distill with a
frozen float teacher of the student's size; with an online one. All take turns in one
process, a round's time is the least of three calls, shown is the median over rounds
of the ratio. Memory: most resident memory above import, one thread."""

STORY = """\
The student first learns from its own rows, with labels; then from new rows without
any, by what the frozen teacher says. Accuracies are of held-out rows of the new
kind."""
OF_STORIES = {
    "phone story": "Phone activity: the teacher learned from people 1 - 18, the "
    "student from 1 - 6; new are people 19 - 23, every second execution held out.",
    "digits story": "A teacher that is wrong: both learned upright digits; the new "
    "ones are rotated by 90 degrees and inverted.",
}
BOUNDS = tuple(arm.name for arm in cases.CLIPPED)
TEMPERATURES = tuple(arm.name for arm in cases.HINTON)


def page(results: dict, command: str, plots: Mapping[str, str] | None = None) -> str:
    """Returns the page of {"steps", "teachers", "records", "skipped", ...}."""
    made = f"Machine: {results['machine']}. {', '.join(results['versions'])}."
    found = {
        name: figures.of_case(results["records"], name)
        for name in dict.fromkeys(r["case"] for r in results["records"])
    }
    parts = [
        "# Binary students, distilled with an entropy-driven temperature",
        ABOUT,
        f"    {command}",
        textwrap.fill(made, 88, break_on_hyphens=False),
        *_steps(results["steps"]),
        "## Arms",
        ARMS,
    ]
    for name, by_arm in found.items():
        teacher = results["teachers"][name]
        story = cases.CASES[name].story
        parts += (_told if story else _case)(name, by_arm, teacher)
        if plot := (plots or {}).get(name):
            parts.append(f"![{name}]({plot})")
    parts += ["## What a job takes", _jobs(found)]
    if skipped := results["skipped"].items():
        parts += ["## Not measured", "\n".join(f"- {n}: {why}" for n, why in skipped)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _steps(steps: dict) -> list[str]:
    if not steps:
        return []
    lines = []
    for threads, times in steps["times"].items():
        plain = statistics.median(times["finetune"])
        for arm in times:
            more = steps["memory"][arm] / steps["memory"]["finetune"]
            ratio = f"{figures.ratio(times, arm):.2f}"
            if arm == "finetune":
                ratio = f"1 = {plain:.1f} ms"
            lines.append([threads, arm, ratio, f"{more:.2f}"])
    head = ["threads", "step", "time", "memory"]
    return ["## A step", STEPS, table(head, lines)]


def _case(name: str, by_arm: dict, teacher: dict) -> list[str]:
    case = cases.CASES[name]
    width = f", width {case.width}" if case.width else ""
    steps = next(iter(next(iter(by_arm.values())).values()))["steps"]
    about = (
        f"{case.backbone}{width}, {steps:,} steps. Frozen teacher: {teacher['net']}, "
        f"{100 * teacher['accuracy']:.1f} % right."
    )
    base = cases.REAL.name if cases.REAL in case.arms else cases.ALONE.name
    lines = [
        [
            arm,
            _percent([r["accuracy"] for r in by_seed.values()]),
            "" if arm == base else _points(figures.differences(by_arm, arm, base)),
            str(len(by_seed)),
        ]
        for arm, by_seed in by_arm.items()
    ]
    head = ["arm", "held out", f"to {base}", "seeds"]
    return [f"### {name}", about, table(head, lines), _paired(by_arm)]


def _paired(by_arm: dict) -> str:
    """Returns the differences that the method stands for, one in a line."""
    lines = []
    for what, names in (("best T", TEMPERATURES), ("best constant bound", BOUNDS)):
        best = figures.best(by_arm, names)
        gains = best and figures.differences(by_arm, cases.OURS.name, best)
        if gains:
            lines.append(f"- ours less {what} ({best}): {_points(gains)}")
    pair = [arm.name for arm in cases.ONLINE[1:]]
    if gains := figures.differences(by_arm, *pair):
        lines.append(f"- the gap rule, online: {_points(gains)}")
    return "\n".join(lines)


def _told(name: str, by_arm: dict, teacher: dict) -> list[str]:
    lines = []
    for arm, by_seed in by_arm.items():
        runs = by_seed.values()
        gains = [run["accuracy"] - run["before"] for run in runs]
        before = _percent([run["before"] for run in runs])
        after = _percent([run["accuracy"] for run in runs])
        right = f"{100 * teacher['accuracy']:.1f} %"
        lines.append([arm, right, before, after, _points(gains), str(len(runs))])
    head = ["arm", "teacher", "student before", "after", "gain", "seeds"]
    return [f"### {name}", OF_STORIES[name], STORY, table(head, lines)]


def _jobs(found: dict) -> str:
    lines = []
    for name, by_arm in found.items():
        runs = [run for by_seed in by_arm.values() for run in by_seed.values()]
        for what in ("cpu_s", "wall_s"):
            values = [run[what] for run in runs]
            spread = f"{statistics.median(values):.0f}, at most {max(values):.0f}"
            lines.append([name, str(len(runs)), what.replace("_s", " seconds"), spread])
    return table(["case", "jobs", "of each", "median"], lines)


def _percent(values: list[float]) -> str:
    middle, half = figures.interval(values)
    return f"{100 * middle:.1f} %" + ("" if half is None else f" ± {100 * half:.1f}")


def _points(gains: list[float]) -> str:
    if not gains:
        return "-"
    middle, half = figures.interval(gains)
    return f"{100 * middle:+.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def table(head: list[str], lines: list[list[str]]) -> str:
    """Returns a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
