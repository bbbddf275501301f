"""A buffer of Python lists with loops: what the policies must keep, step by step."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass
class Item:
    """One stream item as the buffer holds it."""

    item: np.ndarray
    score: float
    arrival: int
    uses: int
    embedding: np.ndarray


def draw(items, uniform, count):
    """Places of the `count` filled slots with the largest numbers."""
    places = [k for k, item in enumerate(items) if item is not None]
    return sorted(places, key=lambda k: (-uniform[k], k))[:count]


def select(policy, items, new, capacity, uniform):
    """The next buffer of `capacity` places, None where empty."""
    found = [(k, item) for k, item in enumerate([*items, *new]) if item is not None]
    if policy == "min_red":
        kept = redundant_out([item for _, item in found], capacity)
    else:
        keys = {
            "top_score": lambda k, i: (-i.score, i.uses, -i.arrival),
            "fifo": lambda k, i: (-i.arrival,),
            "reservoir": lambda k, i: (-i.score, -i.arrival),
            "random": lambda k, i: (-uniform[k], k),
        }
        found.sort(key=lambda pair: keys[policy](*pair))
        kept = [item for _, item in found[:capacity]]
    return kept + [None] * (capacity - len(kept))


def redundant_out(items, capacity):
    """Oldest first; the one nearest to another leaves, the older of equals."""
    items = sorted(items, key=lambda item: item.arrival)
    while len(items) > capacity:
        nearest = []
        for a in items:
            others = [distance(a, b) for b in items if b is not a]
            nearest.append(min(others))
        items.pop(int(np.argmin(nearest)))
    return items


def distance(a, b):
    """1 - cos in float64, rounded so that equal pairs are equal."""
    x, y = (np.float64(i.embedding) / np.linalg.norm(i.embedding) for i in (a, b))
    return round(1 - float(x @ y), 6)
