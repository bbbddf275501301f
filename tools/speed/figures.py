"""The figures of the page and the plots, from records."""

from __future__ import annotations

import statistics

from agreement import agreements
from environments import ENGINES, OURS


class Figures:
    """Figures by case, number of threads and engine; None where there is none to quote.

    An engine whose losses do not agree with TensorFlow's did other work than ours: its
    time and memory are not quoted.
    """

    def __init__(self, records: list[dict]) -> None:
        self.agreements = agreements(records)
        self.cases = list(dict.fromkeys(r["case"] for r in records))
        self.nets: dict[str, dict[int, str]] = {}  # {net: {batch: case}}
        for case in self.cases:
            net, _, batch = case.rpartition("-b")
            self.nets.setdefault(net, {})[int(batch)] = case
        self.threads = sorted({r["threads"] for r in records})
        self.rounds = sorted({r["round"] for r in records})
        self.engines = [
            e.name for e in ENGINES if any(r["engine"] == e.name for r in records)
        ]
        self._found = {
            (r["case"], r["threads"], r["engine"], r["round"]): r for r in records
        }

    def disagrees(self, case: str, engine: str) -> bool:
        """Returns whether there are losses that are not TensorFlow's."""
        found = self.agreements.get((case, engine))
        return found is not None and not found.holds

    def values(self, name: str, case: str, threads: int, engine: str) -> dict:
        """Returns {round: a record's entry}."""
        if self.disagrees(case, engine):
            return {}
        places = {n: (case, threads, engine, n) for n in self.rounds}
        found = {n: self._found.get(place, {}) for n, place in places.items()}
        return {n: record[name] for n, record in found.items() if name in record}

    def least(self, name: str, case: str, threads: int, engine: str) -> float | None:
        """Returns the least of a figure over the rounds: other work only adds to it."""
        return min(self.values(name, case, threads, engine).values(), default=None)

    def ratio(self, case: str, threads: int, engine: str) -> float | None:
        """Returns the median over rounds of our better plan's time to the engine's."""
        theirs, ours = self.values("ms", case, threads, engine), {}
        for plan in OURS:
            for number, ms in self.values("ms", case, threads, plan).items():
                ours[number] = min(ms, ours.get(number, ms))
        both = [ours[n] / theirs[n] for n in theirs if n in ours]
        return statistics.median(both) if both else None
