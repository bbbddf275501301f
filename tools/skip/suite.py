"""The skip suite: times first, then every policy from the same weights, by seed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import threading
from collections.abc import Callable

import processes
import records

from tflite_odl import streams
from tflite_odl.errors import DataError
from tools.skip import cases, sources

THREADS = (1, 2)
# Runs are one thread each, so that many at a time fill the machine.
BUDGET_THREADS = 1
MOST_SECONDS = 3600

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to study.

    Attributes:
      cases: names in `cases.CASES`.
      seeds: how many, instead of the case's.
      keep: whether what an older library made will do.
      rounds: of timing the steps.
      epochs: of `full`, instead of the case's.
    """

    cases: tuple[str, ...]
    seeds: int | None = None
    keep: bool = False
    rounds: int = 9
    epochs: float | None = None


class Study:
    """What is known so far, in a folder.

    Args:
      folder: keeps artifacts, times, and a file for each run.
      plan: what to study.
      say: called with one line of progress at a time.
    """

    def __init__(self, folder: pathlib.Path, plan: Plan, say: Say) -> None:
        self.folder, self.plan, self.say = folder.resolve(), plan, say
        self.library = processes.fingerprint()
        self.skipped: dict[str, str] = {}
        self._exporting = threading.Lock()

    def run(self) -> dict:
        """Returns {"times", "memory", "records", "skipped"} of all cases.

        All steps are timed before the first run, which would disturb them.
        """
        chosen = [cases.CASES[name] for name in self.plan.cases]
        chosen = [case for case in chosen if self._has_data(case)]
        for case in chosen:
            if not self._timed(case):
                sources.prepare(self._place(case), case, self._seeds(case), self.say)
        steps = {case.net: self._timed(case) or self._time(case) for case in chosen}
        steps = {net: found for net, found in steps.items() if found}
        timed = [case for case in chosen if case.net in steps]
        made = [r for c in timed for r in self._trained(c, steps[c.net]["times"])]
        return {
            "times": {net: found["times"] for net, found in steps.items()},
            "memory": {net: found["memory"] for net, found in steps.items()},
            "records": made,
            "skipped": self.skipped,
        }

    def _has_data(self, case: cases.Case) -> bool:
        try:
            streams.open(case.dataset)
        except DataError as error:
            self.skipped[case.name] = str(error)
            self.say(f"{case.name} is skipped: {error}")
            return False
        return True

    def _place(self, case: cases.Case) -> pathlib.Path:
        return self.folder / case.net / self.library

    def _seeds(self, case: cases.Case) -> int:
        return self.plan.seeds or case.seeds

    def _timed(self, case: cases.Case) -> dict | None:
        """Returns {"times": {threads: {artifact: {rows: [ms]}}}, "memory"} if known."""
        known = self._known(self.folder / case.net / "steps.json")
        return known if known and {*case.artifacts} <= {*known["memory"]} else None

    def _time(self, case: cases.Case) -> dict | None:
        """Returns what `_timed` does, measured now; None, and why in `skipped`."""
        self.say(f"time {case.net}")
        measure = lambda script, *rest: processes.measure(  # noqa: E731
            [sys.executable, "-m", f"tools.skip.{script}", self._place(case), *rest]
        )
        names, rounds = case.artifacts, self.plan.rounds
        try:
            times = {str(n): measure("timing", n, rounds, *names) for n in THREADS}
            memory = {name: measure("memory", name)["memory_mb"] for name in names}
        except processes.Failed as error:
            self.skipped[case.name] = f"its steps could not be timed: {error}"
            return None
        path = self.folder / case.net / "steps.json"
        return self._note(path, {"times": times, "memory": memory})

    def _trained(self, case: cases.Case, times: dict) -> list[dict]:
        """Returns the records of all variants and seeds; random ones come last."""
        ms = {
            name: {rows: statistics.median(all_) for rows, all_ in by_rows.items()}
            for name, by_rows in times[str(BUDGET_THREADS)].items()
        }
        rated = [v for v in case.variants if v.policy != "random"]
        others = [v for v in case.variants if v.policy == "random"]
        found = self._pool(case, rated, ms, {})
        rates = {r["seed"]: r for r in found if r["variant"] == cases.SAME_RATE_AS}
        return found + self._pool(case, others, ms, rates)

    def _pool(self, case, variants, ms: dict, rates: dict) -> list[dict]:
        """Returns the records of some variants, as many runs at a time as cores."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = [
                pool.submit(self._one, case, variant, seed, ms, rates)
                for seed in range(self._seeds(case))
                for variant in variants
            ]
            try:
                found = [done.result() for done in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [record for record in found if record]

    def _one(self, case, variant, seed: int, ms: dict, rates: dict) -> dict | None:
        """Returns a run's record; None, and why in `skipped`, where it failed."""
        name = f"{case.name}, {variant.name}, seed {seed}"
        path = self.folder / "runs" / f"{name.replace(' ', '_')}.json"
        epochs = self.plan.epochs or case.epochs
        epoch = max(1, len(streams.open(case.dataset).train) // case.batch)
        steps = round(epochs * epoch)
        budget: float = steps
        if case.budget == "seconds":
            budget *= ms[cases.ALL[0].artifact][str(case.batch)] / 1e3
        settings = dict(variant.settings)
        if variant.bounded:
            settings["update_period"] = min(epoch, cases.MOST_PERIOD)
        if variant.policy == "random" and seed not in rates:
            self.skipped[name] = f"no run of {cases.SAME_RATE_AS} has its rate"
            return None
        if variant.policy == "random":
            settings["skip_rate"] = min(rates[seed]["skipped"], 0.99)
        facts = {
            "case": case.name,
            "variant": variant.name,
            "seed": seed,
            "settings": settings,
            "full_steps": steps,
        }
        known = self._known(path)
        if known is not None and all(known[key] == facts[key] for key in facts):
            return known
        place = self._place(case)
        with self._exporting:
            if not (place / variant.artifact).exists():
                sources.prepare(place, case, self._seeds(case), self.say)
        job = {"folder": str(place), "ms": ms[variant.artifact], "budget": budget}
        script = [sys.executable, "-m", "tools.skip.training"]
        try:
            found = processes.measure(
                [*script, json.dumps({**job, **facts})], MOST_SECONDS
            )
        except processes.Failed as error:
            self.skipped[name] = str(error)
            self.say(f"{name}: {error}")
            return None
        self.say(
            f"{name}: accuracy {found['accuracy']:.4f}, skipped {found['skipped']:.3f}"
        )
        return self._note(path, {**facts, **found})

    def _known(self, path: pathlib.Path) -> dict | None:
        """Returns what a file has, if this library made it or any will do."""
        if not path.exists():
            return None
        known = json.loads(path.read_text())
        return known if self.plan.keep or known["library"] == self.library else None

    def _note(self, path: pathlib.Path, found: dict) -> dict:
        path.parent.mkdir(parents=True, exist_ok=True)
        records.write(path, {"library": self.library, **found})
        return json.loads(path.read_text())
