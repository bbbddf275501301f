"""Draws the results, in an environment that has matplotlib: plots.py RECORDS FOLDER."""

from __future__ import annotations

import json
import pathlib
import sys

import matplotlib

matplotlib.use("agg")
from environments import ENGINES, LIMIT, OURS
from figures import Figures
from matplotlib import pyplot, ticker

NAMES = ("step_time.png", "memory.png")
COLORS = dict(zip((e.name for e in ENGINES), pyplot.get_cmap("tab10").colors))


def main(records: str, folder: str) -> None:
    results = json.loads(pathlib.Path(records).read_text())
    figures, out = Figures(results["records"]), pathlib.Path(folder)
    draw(figures, "ms", "ms per row", figures.threads, True).savefig(out / NAMES[0])
    most = figures.threads[-1:]
    draw(figures, "memory_mb", "MB above import", most, False).savefig(out / NAMES[1])
    print(json.dumps(NAMES))


def draw(figures: Figures, name: str, unit: str, threads: list[int], per_row: bool):
    """Returns a figure of nets by threads, one line for each engine over batches."""
    nets = figures.nets
    size = (3.2 * len(nets), 2.8 * len(threads) + 0.8)
    across = (len(threads), len(nets))
    figure, axes = pyplot.subplots(*across, figsize=size, squeeze=False)
    for row, count in zip(axes, threads):
        for axis, (net, cases) in zip(row, nets.items()):
            for engine in figures.engines:
                found = {
                    batch: figures.least(name, case, count, engine)
                    for batch, case in sorted(cases.items())
                }
                points = {
                    batch: value / (batch if per_row else 1)
                    for batch, value in found.items()
                    if value is not None
                }
                if points:
                    _line(axis, points, engine)
            _finish(axis, f"{net}, {count} thread{'s'[: count > 1]}", sorted(cases))
        row[0].set_ylabel(unit)
    known = [axis.get_legend_handles_labels() for axis in axes.flat]
    lines = {name: line for each in known for line, name in zip(*each)}
    columns = max(2, int(size[0] / 1.9))
    about = {"loc": "lower center", "ncols": columns, "frameon": False}
    figure.legend(lines.values(), lines, **about)
    rows = -(-len(lines) // columns)
    figure.tight_layout(rect=(0, (0.1 + 0.25 * rows) / size[1], 1, 1))
    return figure


def _line(axis, points: dict[int, float], engine: str) -> None:
    style = "--" if engine == LIMIT else "-"
    width = 2.5 if engine in OURS else 1.2
    about = {"label": engine, "color": COLORS[engine], "marker": "."}
    axis.plot(list(points), list(points.values()), style, linewidth=width, **about)


def _finish(axis, title: str, batches: list[int]) -> None:
    axis.set(title=title, xscale="log", yscale="log", xlabel="batch")
    axis.set_xticks(batches, [str(batch) for batch in batches], minor=False)
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(ticker.NullLocator())
    axis.grid(True, which="major", alpha=0.3)


if __name__ == "__main__":
    main(*sys.argv[1:])
