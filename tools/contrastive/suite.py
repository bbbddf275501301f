"""The contrastive suite: artifacts, times, then every arm from the same weights."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import statistics
import sys
from collections.abc import Callable

import processes
import records

from tflite_odl import streams
from tflite_odl.errors import DataError
from tools.contrastive import cases

MOST_SECONDS = 3600
# Of any arm.
MOST_SEEDS = 5
# Jobs of one thread each.
AT_A_TIME = 2

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to study.

    Attributes:
      cases: names in `cases.CASES`.
      keep: whether what an older library made will do.
      seeds: how many, instead of the case's.
      rounds: of timing the steps.
      passes: instead of the case's.
      arms: names; None: the case's.
      full: whether arms and seeds are those of the full study.
    """

    cases: tuple[str, ...]
    keep: bool = False
    seeds: int | None = None
    rounds: int = 15
    passes: int | None = None
    arms: tuple[str, ...] | None = None
    full: bool = False


class Study:
    """What is known so far, in a folder; each job's file says what it was made with.

    Args:
      folder: keeps artifacts, times, and a file for each run.
      plan: what to study.
      say: called with one line of progress at a time.
    """

    def __init__(self, folder: pathlib.Path, plan: Plan, say: Say) -> None:
        self.folder, self.plan, self.say = folder.resolve(), plan, say
        self.library = processes.fingerprint()
        self.skipped: dict[str, str] = {}

    def run(self) -> dict:
        """Returns {"times", "records", "skipped"} of all cases.

        Artifacts are made first, two at a time; then steps are timed, one net after the
        other with nothing beside; then the runs, two at a time.
        """
        chosen = [cases.CASES[name] for name in self.plan.cases]
        chosen = [c for c in chosen if self._arms(c) and self._has_data(c)]
        wanted = [(case, arm) for case in chosen for arm in self._arms(case)]
        once = {(case.net, arm.artifact): (case, arm) for case, arm in wanted}
        self._pool(self._prepare, [*once.values()])
        times = {}
        for case in chosen:
            times[case.net] = times.get(case.net, {}) | self._time(case)
        jobs = [
            (case, arm, seed, times[case.net])
            for case in chosen
            for arm in self._arms(case)
            for seed in range(self._seeds(case, arm))
        ]
        # What decides comes first, seed by seed, so that a study cut short tells most.
        jobs.sort(key=lambda job: (job[1].name not in cases.DECIDING, job[2]))
        found = self._pool(self._one, jobs)
        names = [*cases.CASES]
        found.sort(key=lambda record: names.index(record["case"]))
        facts = {"full": self.plan.full, "skipped": self.skipped}
        return {"times": times, "records": found, **facts}

    def _has_data(self, case: cases.Case) -> bool:
        try:
            streams.open(case.dataset)
        except DataError as error:
            self.skipped[case.name] = str(error)
            self.say(f"{case.name} is skipped: {error}")
            return False
        return True

    def _arms(self, case: cases.Case) -> list[cases.Arm]:
        wanted = self.plan.arms
        return [
            arm
            for arm in case.arms
            if (wanted is None or arm.name in wanted) and self._seeds(case, arm)
        ]

    def _seeds(self, case: cases.Case, arm: cases.Arm) -> int:
        return self.plan.seeds or case.seeds_of(arm, self.plan.full)

    def _pool(self, function: Callable, jobs: list[tuple]) -> list:
        """Returns what comes of the jobs, failed ones left out."""
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            waiting = [pool.submit(function, *job) for job in jobs]
            try:
                found = [done.result() for done in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [one for one in found if one]

    def _place(self, case: cases.Case) -> pathlib.Path:
        return self.folder / case.net / self.library

    def _prepare(self, case: cases.Case, arm: cases.Arm) -> None:
        place, seeds = self._place(case), self.plan.seeds or MOST_SEEDS
        weights = place / f"weights-{seeds - 1}.npz"
        if (place / f"{arm.artifact}.json").exists() and weights.exists():
            return
        self.say(f"export {case.net} {arm.artifact}")
        script = [sys.executable, "-m", "tools.contrastive.sources"]
        try:
            processes.measure([*script, place, case.name, arm.name, seeds])
        except processes.Failed as error:
            self.skipped[f"{case.net} {arm.name}"] = str(error)
            self.say(f"{case.net} {arm.name}: {error}")

    def _time(self, case: cases.Case) -> dict[str, dict]:
        """Returns {artifact: what `timing` says of it}, taking turns on one thread."""
        place = self._place(case)
        names = dict.fromkeys(arm.artifact for arm in self._arms(case))
        names = [name for name in names if (place / name).exists()]
        path = place / "steps.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        if set(names) <= set(known):
            return known
        self.say(f"time {case.net}")
        script = [sys.executable, "-m", "tools.contrastive.timing"]
        try:
            found = processes.measure([*script, place, self.plan.rounds, *names])
        except processes.Failed as error:
            self.skipped[case.name] = f"its steps could not be timed: {error}"
            return known
        records.write(path, {**known, **found})
        return {**known, **found}

    def _one(self, case, arm, seed: int, times: dict) -> dict | None:
        """Returns a run's record; None, and why in `skipped`, where it failed."""
        name = f"{case.name}, {arm.name}, seed {seed}"
        ours = next(a for a in case.arms if a.name == cases.OURS)
        if arm.artifact not in times or ours.artifact not in times:
            self.skipped[name] = "no time of its step"
            return None
        of_both = (arm.artifact, ours.artifact)
        ms = {name: statistics.median(times[name]["ms"]) for name in of_both}
        passes = self.plan.passes or case.passes_of(self.plan.full)
        rows = self._rows(case)
        budget = passes * rows / ours.batch * ms[ours.artifact] / 1e3
        facts = {"case": case.name, "arm": arm.name, "seed": seed, "passes": passes}
        path = self.folder / "runs" / f"{name.replace(' ', '_')}.json"
        known = self._known(path)
        if known is not None and all(known[key] == facts[key] for key in facts):
            return known
        counts = seed == 0
        job = {"folder": str(self._place(case)), "counts": counts}
        job |= {"ms": ms[arm.artifact], "budget": budget, **facts}
        script = [sys.executable, "-m", "tools.contrastive.training", json.dumps(job)]
        try:
            found = processes.measure(script, MOST_SECONDS)
        except processes.Failed as error:
            self.skipped[name] = str(error)
            self.say(f"{name}: {error}")
            return None
        self.say(
            f"{name}: kNN {found['knn']['accuracy']:.4f}, "
            f"probe {found['linear']['0.1']['accuracy']:.4f}, "
            f"{found['wall_s']:.0f} s"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {"library": self.library, **facts, **found, "ms": ms[arm.artifact]}
        records.write(path, made)
        return made

    def _rows(self, case: cases.Case) -> int:
        return case.rows or len(streams.open(case.dataset).train)

    def _known(self, path: pathlib.Path) -> dict | None:
        """Returns what a file has, if this library made it or any will do."""
        if not path.exists():
            return None
        known = json.loads(path.read_text())
        return known if self.plan.keep or known["library"] == self.library else None
