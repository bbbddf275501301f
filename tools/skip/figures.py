"""What the page and the plots quote, from the study's results. NumPy."""

from __future__ import annotations

import statistics

import numpy as np

from tools.skip import cases

# A backward pass costs about twice the forward pass.
BACKWARD = 2.0


def of_case(records: list[dict], case: str) -> dict[str, dict[int, dict]]:
    """Returns {variant: {seed: record}}, in the order of the case's variants."""
    found = {v.name: {} for v in cases.CASES[case].variants}
    for record in records:
        if record["case"] == case:
            found[record["variant"]][record["seed"]] = record
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def differences(by_variant: dict, variant: str, figure: str) -> list[float]:
    """Returns a figure less that of `full` with the same seed, seed by seed."""
    plain = by_variant.get(cases.PLAIN, {})
    rows = by_variant[variant].items()
    return [r[figure] - plain[seed][figure] for seed, r in rows if seed in plain]


def mean_curve(by_seed: dict[int, dict], name: str) -> np.ndarray:
    """Returns a figure at each checkpoint, the mean over seeds."""
    curves = [[point[name] for point in r["curve"]] for r in by_seed.values()]
    shortest = min(map(len, curves))
    return np.mean([curve[:shortest] for curve in curves], 0)


def rse_pairs(by_seed: dict[int, dict]) -> list[tuple[float, float]]:
    """Returns (estimated, measured) error of each checkpoint where rows are skipped."""
    return [
        (point["estimated_rse"], point["measured_rse"])
        for record in by_seed.values()
        for point in record["curve"]
        if point.get("threshold", 1.0) < 1.0
    ]


def share_of_plain(times: dict, artifact: str, rows: str, batch: str) -> float:
    """Returns the median over rounds of a step's time to the plain step's.

    Args:
      times: {artifact: {rows: [ms of each round]}}.
      rows, batch: that backward runs on, in this step and in the plain one.
    """
    plain = times[cases.ALL[0].artifact][batch]
    return statistics.median(a / b for a, b in zip(times[artifact][rows], plain))


def ceiling(skipped: float) -> float:
    """Returns how many times fewer FLOPs are left where kept rows are packed."""
    return (1 + BACKWARD) / (1 + BACKWARD * (1 - skipped))
