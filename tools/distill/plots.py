"""Draws the results, in an environment that has matplotlib: plots.py RECORDS FOLDER.

Prints {case: file}.
"""

from __future__ import annotations

import json
import pathlib
import sys

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

from tools.distill import cases, figures

COLORS = dict(
    zip([arm.name for arm in cases.ALL], pyplot.get_cmap("tab20").colors, strict=False)
)
DRAWN = ("temperature", "teacher_entropy", "student_entropy")


def main(records: str, folder: str) -> None:
    results = json.loads(pathlib.Path(records).read_text())["records"]
    made = {}
    for case in dict.fromkeys(r["case"] for r in results):
        made[case] = f"{case.replace(' ', '-')}.png"
        drawn = draw(figures.of_case(results, case))
        drawn.savefig(pathlib.Path(folder) / made[case], dpi=80)
        pyplot.close(drawn)
    print(json.dumps(made))


def draw(by_arm: dict):
    """Returns a figure of accuracies, and of what is told along training."""
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 9))
    for place, (arm, by_seed) in enumerate(by_arm.items()):
        color = COLORS.get(arm, "black")
        values = [100 * record["accuracy"] for record in by_seed.values()]
        middle, half = figures.interval(values)
        axes[0, 0].barh(place, middle, xerr=half, color=color)
        axes[0, 0].plot(values, [place] * len(values), "k.", markersize=3)
        for axis, name in zip(axes.flat[1:], DRAWN, strict=True):
            if name == "temperature" and arm == cases.ALONE.name:
                continue  # it softens nothing there
            if (found := figures.curve(by_seed, name)) is not None:
                axis.plot(*found, color=color, label=arm)
    axes[0, 0].set_yticks(range(len(by_arm)), list(by_arm))
    axes[0, 0].invert_yaxis()
    lowest = min(100 * r["accuracy"] for by in by_arm.values() for r in by.values())
    axes[0, 0].set(xlabel="held out, %", xlim=(max(0, lowest - 2), None))
    for axis, name in zip(axes.flat[1:], DRAWN, strict=True):
        axis.set(xlabel="steps", ylabel=name.replace("_", " "))
        axis.grid(True, alpha=0.3)
    axes[1, 1].legend(fontsize="x-small")
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
