"""What the page and the plots quote, from the study's records. NumPy."""

from __future__ import annotations

import math
import statistics

# Two-sided 95 % of Student's t, by degrees of freedom.
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def of_case(records: list[dict], case: str) -> dict[str, dict[int, dict]]:
    """Returns {arm: {seed: record}}."""
    found: dict[str, dict[int, dict]] = {}
    for record in records:
        if record["case"] == case:
            found.setdefault(record["arm"], {})[record["seed"]] = record
    return found


def figure(record: dict, name: str, one_pass: bool = False) -> float:
    """Returns a probe's accuracy in percent.

    Args:
      record: of a run.
      name: "knn", or a share of labels; with " balanced" behind it, the mean over
        classes.
      one_pass: whether after one pass, else at the end.
    """
    of = record["one_pass"] if one_pass else record
    name, _, balanced = name.partition(" ")
    score = of["knn"] if name == "knn" else of["linear"][name]
    return 100 * score[balanced or "accuracy"]


def mean(by_seed: dict[int, dict], name: str, one_pass: bool = False) -> float:
    return statistics.fmean(figure(r, name, one_pass) for r in by_seed.values())


def paired(
    first: dict[int, dict], second: dict[int, dict], name: str, one_pass: bool = False
) -> tuple[float, float]:
    """Returns (the mean difference of equal seeds, half of its 95 % interval)."""
    seeds = sorted(first.keys() & second.keys())
    found = [
        figure(first[s], name, one_pass) - figure(second[s], name, one_pass)
        for s in seeds
    ]
    if len(found) < 2:
        return (found[0] if found else math.nan), math.nan
    error = statistics.stdev(found) / math.sqrt(len(found))
    return statistics.fmean(found), T_95.get(len(found) - 1, 1.96) * error


def interval(mean: float, half: float) -> str:
    return f"{mean:+.1f}" if math.isnan(half) else f"{mean:+.1f} ± {half:.1f}"


def table(columns, rows) -> str:
    """Returns a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def share(times: dict[str, dict], name: str, of: str) -> float:
    """Returns the median over rounds of one step's time to another's."""
    pairs = zip(times[name]["ms"], times[of]["ms"], strict=False)
    return statistics.median(a / b for a, b in pairs)
