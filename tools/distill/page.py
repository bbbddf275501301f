"""The page of the distill suite, in Markdown."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping

from tools.distill import cases, figures

ABOUT = """\
Binary students (signs of weights and of activations; first and last layer real)
learn from fresh weights by every arm: Adam at .003, falling to 0 along a cosine,
batch 32. Each seed has its own weights and order of rows, the same for all arms.
Steps are few: a phone's, not a paper's. A tenth of the rows to learn from chooses
the best temperature or bound and nothing else. Every run is LiteRT on one thread.
The frozen teacher was trained once, in Keras; SwitOKD and the arms called online
have the student's real-valued twin as teacher, from the student's weights.
Artifacts are converted without the gate, which the tests run on each kind of arm.
`--full` adds traffic signs and CIFAR-10, of 32 x 32 pixels, where binary students
need thousands of steps and the study hours."""

ARMS = """\
`student alone` has labels only; `T = ...` soft targets at that temperature and labels
(.9 and .1); CTKD a learnable temperature; `standardised` standardised logits; SwitOKD
T = 1 and all weights 1; `ours` the adaptive temperature, with u = D / P unless another
is named, and bounds of weights that are trained (PWC) unless a constant one is: 1, 2.5
standard deviations, or the largest weight. Accuracies are of held-out rows: means over
seeds with 95 % intervals by Student's t, and paired differences, seed by seed,
likewise."""

STEPS = """\
ResNet-8 for 32 x 32, batch 32: `finetune` of the real-valued net; distill with a
frozen float teacher of the student's size; with an online one. All take turns in one
process, a round's time is the least of three calls, shown is the median over rounds of
the ratio; CPU time is of all threads. Memory: most resident memory above import, one
thread."""

STORY = """\
The student first learns from its own rows, with labels; then from new rows without
any, by what the frozen teacher says. Accuracies are of held-out rows of the new
kind."""
AGAIN = """\
`student alone` and the real-valued twin learn from their own labelled rows once more
instead."""
OF_STORIES = {
    "phone story": "Phone activity: the teacher learned from people 1 - 18, the "
    "student from 1 - 6; new are people 19 - 23, every second execution held out.",
    "digits story": "A teacher that is wrong: both learned upright digits; the new "
    "ones are rotated by 90 degrees and inverted.",
}
SHOWN = """\
Paired differences in points of accuracy, with 95 % intervals; those whose interval
excludes 0 are bold. The best temperature and the best constant bound are chosen on
validation rows, or in a story, which has none, on the held-out ones, in their
favour."""
BOUNDS = tuple(arm.name for arm in cases.CLIPPED)
TEMPERATURES = tuple(arm.name for arm in cases.HINTON)
RIVALS = (TEMPERATURES, BOUNDS)


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
        "## What it shows",
        SHOWN,
        _shown(found),
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
        spent = steps["cpu"][threads]
        for arm in times:
            more = steps["memory"][arm] / steps["memory"]["finetune"]
            ratios = [_ratio(found, arm) for found in (times, spent)]
            lines.append([threads, arm, *ratios, f"{more:.2f}"])
    head = ["threads", "step", "time", "CPU time", "memory"]
    return ["## A step", STEPS, table(head, lines)]


def _ratio(times: dict[str, list[float]], arm: str) -> str:
    if arm == "finetune":
        return f"1 = {statistics.median(times[arm]):.1f} ms"
    return f"{figures.ratio(times, arm):.2f}"


def _shown(found: dict) -> str:
    """Returns a line for each case that has students alone: what ours gains on these,
    on the best temperature, and on the best constant bound."""
    ours, alone = cases.OURS.name, cases.ALONE.name
    lines = []
    for name, by_arm in found.items():
        figure = "accuracy" if cases.CASES[name].story else "validation"
        rivals = [alone, *(figures.best(by_arm, n, figure) for n in RIVALS)]
        if alone not in by_arm:
            continue
        gains = [figures.differences(by_arm, ours, r) if r else [] for r in rivals]
        best = figures.best(by_arm, TEMPERATURES, figure)
        simple = figures.differences(by_arm, best, alone) if best else []
        lines.append([name, *map(_marked, [gains[0], simple, *gains[1:]])])
    head = ["case", f"ours to {alone}", f"best T to {alone}"]
    head += ["ours to best T", "PWC to best constant bound"]
    return table(head, lines)


def _marked(gains: list[float]) -> str:
    """Returns a difference, bold where its interval excludes 0."""
    text = _points(gains)
    if len(gains) < 2:
        return text
    middle, half = figures.interval(gains)
    return f"**{text}**" if abs(middle) > half else text


def _case(name: str, by_arm: dict, teacher: dict) -> list[str]:
    case = cases.CASES[name]
    width = f", width {case.width}" if case.width else ""
    steps = next(iter(next(iter(by_arm.values())).values()))["steps"]
    about = (
        f"{case.backbone}{width}, {steps:,} steps. Frozen teacher: {teacher['net']}, "
        f"{100 * teacher['accuracy']:.1f} % right."
    )
    if case.labels:
        about += (
            f" Only {case.labels} rows have labels, the same for all; `student alone` "
            "learns from batches of these."
        )
    base = case.base.name
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
    about = textwrap.fill(about, 88, break_on_hyphens=False)
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
        lines.append([arm, before, after, _points(gains), str(len(runs))])
    head = ["arm", "before", "after", "gain", "seeds"]
    told = textwrap.fill(OF_STORIES[name], 88, break_on_hyphens=False)
    right = (
        f"Teacher there: {100 * teacher['accuracy']:.1f} %. Less the student before: "
        f"{_points(figures.ahead(by_arm[cases.OURS.name], teacher['accuracy']))}."
    )
    again = AGAIN if cases.ALONE.name in by_arm else ""
    return [f"### {name}", told, STORY, again, right, table(head, lines)]


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
