"""Draws the results, in an environment that has matplotlib: plots.py RECORDS FOLDER.

Prints {case: file}.
"""

from __future__ import annotations

import json
import pathlib
import sys

import matplotlib
import numpy as np

matplotlib.use("agg")
from matplotlib import pyplot

from tools.contrastive import figures


def main(records: str, folder: str) -> None:
    results = json.loads(pathlib.Path(records).read_text())["records"]
    made = {}
    for case in dict.fromkeys(r["case"] for r in results):
        made[case] = f"{case.replace(' ', '-').replace(',', '')}.png"
        drawn = draw(figures.of_case(results, case))
        drawn.savefig(pathlib.Path(folder) / made[case], dpi=80)
        pyplot.close(drawn)
    print(json.dumps(made))


def draw(found: dict):
    """Returns a figure of one seed: kNN by items and by seconds, uses of items."""
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.5))
    colors = pyplot.get_cmap("tab20").colors
    for (arm, by_seed), color in zip(found.items(), colors, strict=False):
        first = by_seed.get(0, {"curve": []})
        about = {"color": color, "label": arm, "marker": "."}
        knn = [100 * point["knn"] for point in first["curve"]]
        for axis, name in zip(axes, ("items", "seconds")):
            axis.plot([point[name] for point in first["curve"]], knn, **about)
        uses = first.get("uses")
        if uses and uses["largest"]:
            axes[2].semilogy(np.maximum(uses["histogram"], 0.5), color=color)
    axes[0].set(xlabel="items of the stream", ylabel="kNN, held out, %")
    axes[1].set(xlabel="seconds of training, one thread")
    axes[2].set(xlabel="times in a mini-batch", ylabel="items")
    axes[0].legend(fontsize=7)
    for axis in axes:
        axis.grid(True, alpha=0.3)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:])
