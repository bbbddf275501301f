"""The buffer as a Python list with loops: what is drawn, and what each policy keeps.

Every comparison of two numbers that are rounded is noted as a margin: how far it was
from falling the other way. What is in the state is exact.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class Item:
    """One stream item, as a slot of the buffer or as a row that came.

    Attributes:
      item: [...], as the sensor gives it.
      score, arrival, uses, embedding: as `Slots` has them.
      filled: whether it counts.
      exact: whether the score is one of the state, the same in every arithmetic.
    """

    item: np.ndarray
    score: float
    arrival: int
    uses: int
    embedding: np.ndarray | None = None
    filled: bool = True
    exact: bool = True


def drawn(slots: list[Item], uniform: np.ndarray, count: int) -> list[int]:
    """Returns the places of the `count` filled slots with the largest numbers."""
    places = [k for k, slot in enumerate(slots) if slot.filled]
    return sorted(places, key=lambda k: (-uniform[k], k))[:count]


def drawn_by_score(
    slots: list[Item], uniform: np.ndarray, count: int, margins: list[float]
) -> list[int]:
    """Returns the places with the largest ln(u) / score."""
    keys = {
        k: math.log(max(float(uniform[k]), 2.0**-25)) / max(float(slot.score), 1e-6)
        for k, slot in enumerate(slots)
        if slot.filled
    }
    places = sorted(keys, key=lambda k: (-keys[k], k))
    for a, b in zip(places[:count], places[1:]):
        margins.append((keys[a] - keys[b]) / max(abs(keys[a]), 1.0))
    return places[:count]


def selected(
    policy: str,
    candidates: list[Item],
    capacity: int,
    uniform: np.ndarray,
    margins: list[float],
) -> list[Item]:
    """Returns the next buffer: what is kept, then what does not count, by place.

    Args:
      policy: its name.
      candidates: the slots, then the rows that came.
      capacity: slots of the buffer.
      uniform: a number for each candidate.
      margins: where choices are noted.
    """
    found = [(k, item) for k, item in enumerate(candidates) if item.filled]
    if policy == "min_red":
        kept = _redundant_out([item for _, item in found], capacity, margins)
    else:
        keys = {
            "top_score": lambda k, i: (-i.score, i.uses, -i.arrival),
            "flip_score": lambda k, i: (-i.score, i.uses, -i.arrival),
            "fifo": lambda k, i: (-i.arrival,),
            "reservoir": lambda k, i: (-i.score, -i.arrival),
            "random": lambda k, i: (-uniform[k], k),
        }
        found.sort(key=lambda pair: keys[policy](*pair))
        kept = [item for _, item in found]
        if policy in ("top_score", "flip_score"):
            for a, b in zip(kept[:capacity], kept[1:]):
                if not (a.exact and b.exact):
                    margins.append(float(a.score - b.score))
        kept = kept[:capacity]
    rest = [item for item in candidates if not item.filled]
    return [*kept, *rest][:capacity]


def _redundant_out(
    items: list[Item], capacity: int, margins: list[float]
) -> list[Item]:
    """Oldest first; the one nearest to another leaves, the older of equals."""
    items = sorted(items, key=lambda item: item.arrival)
    if len(items) <= capacity:
        return items
    unit = np.stack([item.embedding for item in items])
    unit = unit / np.sqrt((unit * unit).sum(1, keepdims=True) + 1e-12)
    distance = 1 - unit @ unit.T
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, np.inf)
    present = list(range(len(items)))
    while len(present) > capacity:
        among = distance[np.ix_(present, present)]
        nearest = among.min(1)
        leaves = int(np.argmin(nearest))
        # Of two that are nearest to each other both are as near, exactly.
        partner = int(np.argmin(among[leaves]))
        others = np.delete(nearest, [leaves, partner])
        if others.size:
            margins.append(float(others.min() - nearest[leaves]))
        present.pop(leaves)
    return [items[k] for k in present]
