"""Draws the results, in an environment that has matplotlib: plots.py RECORDS FOLDER.

Prints {case: file}.
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys

import matplotlib
import numpy as np

matplotlib.use("agg")
from matplotlib import pyplot

from tools.skip import cases, figures

NAMES = [variant.name for variant in cases.ALL]
_BOUNDED = [variant.name for variant in cases.ALL if variant.bounded]
COLORS = dict(zip(NAMES, pyplot.get_cmap("tab20").colors))


def main(records: str, folder: str) -> None:
    results = json.loads(pathlib.Path(records).read_text())["records"]
    made = {}
    for case in dict.fromkeys(r["case"] for r in results):
        made[case] = f"{case.replace(' ', '-')}.png"
        drawn = draw(figures.of_case(results, case), cases.CASES[case].batch)
        drawn.savefig(pathlib.Path(folder) / made[case], dpi=80)
        pyplot.close(drawn)
    print(json.dumps(made))


def draw(found: dict, batch: int):
    """Returns a figure of accuracies, thresholds and errors."""
    figure, axes = pyplot.subplots(2, 3, figsize=(14, 8))
    for variant, by_seed in found.items():
        mean = functools.partial(figures.mean_curve, by_seed)
        about = {"color": COLORS[variant], "label": variant, "marker": "."}
        about["linestyle"] = "-" if variant in (cases.PLAIN, *_BOUNDED) else "--"
        accuracy, steps = 100 * mean("accuracy"), mean("steps")
        axes[0, 0].plot(mean("kept") / 1e3, accuracy, **about)
        axes[0, 1].plot(mean("seconds"), accuracy, **about)
        skipped = 1 - np.diff(mean("kept"), prepend=0) / (
            batch * np.diff(steps, prepend=0)
        )
        axes[1, 1].plot(steps, 100 * skipped, **about)
        if variant in _BOUNDED:
            axes[1, 0].plot(steps, mean("threshold"), **about)
        if pairs := figures.rse_pairs(by_seed):
            axes[1, 2].loglog(*zip(*pairs), ".", color=COLORS[variant])
    _finish(axes)
    axes[0, 2].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
    figure.tight_layout()
    return figure


def _finish(axes) -> None:
    axes[0, 0].set(xlabel="thousand rows back-propagated", ylabel="held out, %")
    axes[0, 1].set(xlabel="seconds of training", ylabel="held out, %")
    axes[0, 2].axis("off")
    axes[1, 0].set(xlabel="steps", ylabel="threshold")
    axes[1, 1].set(xlabel="steps", ylabel="skipped since the last point, %")
    axes[1, 2].set(xlabel="estimated squared error", ylabel="measured")
    low, high = 1e-4, 1.0
    axes[1, 2].plot([low, high], [low, high], color="grey", linewidth=0.8)
    for axis in axes.flat:
        axis.grid(True, alpha=0.3)


if __name__ == "__main__":
    main(*sys.argv[1:])
