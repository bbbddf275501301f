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


def main(records: str, folder: str) -> None:
    results = json.loads(pathlib.Path(records).read_text())["records"]
    made = {}
    for case in dict.fromkeys(record["case"] for record in results):
        found = [r for r in results if r["case"] == case and "cause" not in r]
        figure, axes = pyplot.subplots(figsize=(9, 6))
        sizes = [record["twin"]["deflate"] / 1e3 for record in found]
        scores = [100 * record["twin_after"] for record in found]
        colors = [record["twin_ms"] for record in found]
        drawn = axes.scatter(sizes, scores, c=colors, cmap="viridis")
        for record, size, score in zip(found, sizes, scores):
            axes.annotate(record["variant"], (size, score), fontsize=7)
        axes.set_xlabel("serving twin, deflated, kB")
        axes.set_ylabel("accuracy of the twin baked after training, %")
        figure.colorbar(drawn, label="twin, ms a row")
        made[case] = f"{case}.png"
        figure.savefig(pathlib.Path(folder) / made[case], dpi=80)
        pyplot.close(figure)
    print(json.dumps(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
