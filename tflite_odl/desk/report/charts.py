"""Charts as SVG inside a page: no script, no network, sharp at every width."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 340, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 22
COLOURS = (
    *("#2563eb", "#d97706", "#059669", "#dc2626"),
    *("#7c3aed", "#0891b2", "#db2777", "#64748b"),
)


def line(
    points: Sequence[Sequence[float]], title: str, marks: Mapping[float, str] = {}
) -> str:
    """Returns a line chart.

    Args:
      points: (x, y) in the order of x.
      title: what y is.
      marks: {x: what happened there}, drawn as dashed lines.
    """
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low, high = min(ys), max(ys)
    if low == high:
        low, high = low - abs(low or 1) / 2, high + abs(high or 1) / 2
    first, last = min(xs), max(max(xs), min(xs) + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_grid(place, (first, last), _ticks(low, high))]
    for x, told in marks.items():
        at = place(min(max(x, first), last), low)[0]
        parts.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"><title>{html.escape(told)}</title></line>'
        )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p[:2]) for p in points))
    parts.append(f'<polyline class="line" points="{path}"/>')
    return _figure(title, parts)


def _grid(place, ends: tuple[float, float], ticks: list[float]) -> str:
    found = []
    for tick in ticks:
        y = place(ends[0], tick)[1]
        found.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text x="{LEFT - 5}" y="{y + 4:.1f}" '
            f'text-anchor="end">{tick:.4g}</text>'
        )
    for x, anchor in zip(ends, ("start", "end"), strict=True):
        found.append(
            f'<text x="{place(x, ticks[0])[0]:.1f}" y="{HEIGHT - 6}" '
            f'text-anchor="{anchor}">{x:g}</text>'
        )
    return "".join(found)


def _ticks(low: float, high: float) -> list[float]:
    """Returns some round numbers within the range."""
    raw = (high - low) / 3
    power = 10 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw)
    start = math.ceil(low / step)
    found = [n * step for n in range(start, math.floor(high / step) + 1)]
    return found or [low, high]


def bars(rows: Mapping[str, Mapping[str, float]], title: str, unit: str) -> str:
    """Returns horizontal bars, one for each row, split into its parts.

    Args:
      rows: {row: {part: size}}.
      title: what is shown.
      unit: of the sizes.
    """
    names = list(dict.fromkeys(part for parts in rows.values() for part in parts))
    most = max((sum(parts.values()) for parts in rows.values()), default=0) or 1
    height = 34 * len(rows) + 4
    drawn = []
    for number, (row, parts) in enumerate(rows.items()):
        x, y = 0.0, 34 * number
        whole = sum(parts.values())
        drawn.append(
            f'<text x="0" y="{y + 12}">{html.escape(row)}: {whole:.3g} {unit}</text>'
        )
        for part, size in parts.items():
            width = size / most * WIDTH
            colour = COLOURS[names.index(part) % len(COLOURS)]
            drawn.append(
                f'<rect x="{x:.1f}" y="{y + 17}" width="{width:.1f}" height="11" '
                f'fill="{colour}"><title>{html.escape(part)}: {size:.3g} {unit}'
                "</title></rect>"
            )
            x += width
    legend = "".join(
        f'<span><i style="background:{COLOURS[n % len(COLOURS)]}"></i>'
        f"{html.escape(name)}</span>"
        for n, name in enumerate(names)
    )
    return _figure(title, drawn, height) + f'<p class="legend">{legend}</p>'


def _figure(title: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg role="img" '
        f'aria-label="{html.escape(title)}" viewBox="0 0 {WIDTH} {height}">'
        f"{''.join(parts)}</svg></figure>"
    )
