"""What the page and the plots quote, from the study's results. NumPy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from tools.distill import cases

# Student's t at 97.5 %, by degrees of freedom.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def of_case(records: list[dict], case: str) -> dict[str, dict[int, dict]]:
    """Returns {arm: {seed: record}}, in the order of the case's arms."""
    found: dict[str, dict[int, dict]] = {a.name: {} for a in cases.CASES[case].arms}
    for record in records:
        if record["case"] == case:
            found[record["arm"]][record["seed"]] = record
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def mean(by_seed: dict[int, dict], figure: str) -> float:
    return statistics.mean(record[figure] for record in by_seed.values())


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns (mean, half the width of its 95 % interval); None of a single value."""
    n = len(values)
    if n < 2:
        return statistics.mean(values), None
    half = T_975[min(n - 2, len(T_975) - 1)] * statistics.stdev(values) / math.sqrt(n)
    return statistics.mean(values), half


def differences(by_arm: dict, arm: str, other: str) -> list[float]:
    """Returns an arm's accuracy less another's of the same seed, seed by seed."""
    rows, others = by_arm.get(arm, {}), by_arm.get(other, {})
    return [
        record["accuracy"] - others[seed]["accuracy"]
        for seed, record in rows.items()
        if seed in others
    ]


def ahead(by_seed: dict[int, dict], accuracy: float) -> list[float]:
    """Returns a teacher's accuracy less a story's students' before it teaches them."""
    return [accuracy - record["before"] for record in by_seed.values()]


def best(by_arm: dict, names: Sequence[str], figure: str = "validation") -> str | None:
    """Returns which of some arms is the best, on average: on validation rows."""
    known = [name for name in names if name in by_arm]
    return max(known, key=lambda name: mean(by_arm[name], figure), default=None)


def ratio(times: dict[str, list[float]], arm: str) -> float:
    """Returns the median over rounds of a step's time to finetune's."""
    pairs = zip(times[arm], times["finetune"], strict=True)
    return statistics.median(a / b for a, b in pairs)


def curve(by_seed: dict[int, dict], name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns (steps, means over seeds) of a metric along training, if it is told."""
    told = [record["curve"] for record in by_seed.values()]
    if not told or not all(name in points[0] for points in told):
        return None
    shortest = min(map(len, told))
    steps = np.array([point["step"] for point in told[0][:shortest]])
    return steps, np.mean([[p[name] for p in c[:shortest]] for c in told], 0)
