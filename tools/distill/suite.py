"""The distill suite: sources of each case, then every arm and seed, two at a time."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable

import processes
import records

from tflite_odl.errors import DataError
from tools.distill import cases, rows

AT_A_TIME = 2
THREADS = (1, 2)
MOST_SECONDS = 3600

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to study.

    Attributes:
      cases: names in `cases.CASES`.
      seeds: how many, instead of the case's.
      steps: of each run, instead of the case's.
      arms: names, instead of all of a case.
      keep: whether what an older library made will do.
      rounds: of timing the steps; 0 leaves it out.
    """

    cases: tuple[str, ...]
    seeds: int | None = None
    steps: int | None = None
    arms: tuple[str, ...] | None = None
    keep: bool = False
    rounds: int = 9


class Study:
    """What is known so far, in a folder.

    Args:
      folder: keeps sources, times, and a file for each run.
      plan: what to study.
      say: called with one line of progress at a time.
    """

    def __init__(self, folder: pathlib.Path, plan: Plan, say: Say) -> None:
        self.folder, self.plan, self.say = folder.resolve(), plan, say
        self.library = processes.fingerprint()
        self.skipped: dict[str, str] = {}

    def run(self) -> dict:
        """Returns {"steps", "teachers", "records", "skipped"} of all cases."""
        steps = self._timed() if self.plan.rounds else {}
        found, teachers = [], {}
        for name in self.plan.cases:
            case = self._case(name)
            if (teacher := self._sources(case)) is None:
                continue
            teachers[name] = teacher
            found += self._runs(case)
        return {
            "steps": steps,
            "teachers": teachers,
            "records": found,
            "skipped": self.skipped,
        }

    def _case(self, name: str) -> cases.Case:
        case, chosen = cases.CASES[name], self.plan.arms
        arms = tuple(a for a in case.arms if chosen is None or a.name in chosen)
        # Steps and seeds are no part of what is made once.
        return dataclasses.replace(case, arms=arms)

    def _timed(self) -> dict:
        """Returns {"times": {threads: {arm: [ms]}}, "cpu": likewise, "memory": {arm:
        mb}}."""
        path = self.folder / "steps.json"
        known = self._known(path)
        if known:
            return known
        self.say("time the steps")
        place = self.folder / "steps" / self.library
        script = [sys.executable, "-m", "tools.distill.timing"]
        try:
            processes.measure([*script, "make", place])
            rounds = self.plan.rounds
            found = {
                str(n): processes.measure([*script, place, n, rounds]) for n in THREADS
            }
            times, cpu = (
                {n: one[kind] for n, one in found.items()} for kind in ("times", "cpu")
            )
            memory = {
                name: processes.measure([*script, "memory", place, name])["memory_mb"]
                for name in times["1"]
            }
        except processes.Failed as error:
            self.skipped["steps"] = str(error)
            return {}
        return self._note(path, {"times": times, "cpu": cpu, "memory": memory})

    def _place(self, case: cases.Case) -> pathlib.Path:
        return self.folder / case.name.replace(" ", "_") / self.library

    def _seeds(self, case: cases.Case) -> int:
        return self.plan.seeds or case.seeds

    def _sources(self, case: cases.Case) -> dict | None:
        """Returns what is known of the teacher; None, and why in `skipped`."""
        try:
            rows.of_case(case)
        except (DataError, OSError) as error:
            self.skipped[case.name] = str(error)
            return None
        noted = self.folder / "teachers" / f"{case.name.replace(' ', '_')}.json"
        known = self._known(noted)
        wanted = [(a, n) for a in case.arms for n in range(self._seeds(case))]
        if known and all(self._known_run(case, *one) for one in wanted):
            return known
        place = self._place(case)
        made = [arm.artifact for arm in case.artifacts]
        there = all((place / name).exists() for name in made)
        weights = (place / f"weights-{n}.npz" for n in range(self._seeds(case)))
        about = place / "teacher.json"
        if not (there and about.exists() and all(path.exists() for path in weights)):
            self.say(f"make teacher, artifacts and weights of {case.name}")
            script = [sys.executable, "-m", "tools.distill.sources"]
            names = ";".join(arm.name for arm in case.arms)
            teachers = self.folder / "teachers" / self.library
            try:
                job = [place, teachers, case.name, self._seeds(case), names]
                processes.measure([*script, *job], MOST_SECONDS)
            except processes.Failed as error:
                self.skipped[case.name] = str(error)
                self.say(f"{case.name}: {error}")
                return None
        return self._note(noted, json.loads(about.read_text()))

    def _runs(self, case: cases.Case) -> list[dict]:
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            waiting = [
                pool.submit(self._one, case, arm, seed)
                for seed in range(self._seeds(case))
                for arm in case.arms
            ]
            try:
                found = [done.result() for done in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [record for record in found if record]

    def _one(self, case: cases.Case, arm: cases.Arm, seed: int) -> dict | None:
        """Returns a run's record; None, and why in `skipped`, where it failed."""
        if known := self._known_run(case, arm, seed):
            return known
        facts = self._facts(case, arm, seed)
        name = _name(facts)
        job = json.dumps({**facts, "folder": str(self._place(case))})
        script = [sys.executable, "-m", "tools.distill.training", job]
        try:
            found = processes.measure(script, MOST_SECONDS)
        except processes.Failed as error:
            self.skipped[name] = str(error)
            self.say(f"{name}: {error}")
            return None
        self.say(f"{name}: {found['accuracy']:.4f}, {found['wall_s']:.0f} s")
        return self._note(self._record(facts), {**facts, **found})

    def _facts(self, case: cases.Case, arm: cases.Arm, seed: int) -> dict:
        """Returns what tells a run from others."""
        return {
            "case": case.name,
            "arm": arm.name,
            "seed": seed,
            "settings": dict(arm.settings),
            "steps": self.plan.steps or case.steps,
        }

    def _record(self, facts: dict) -> pathlib.Path:
        return self.folder / "runs" / f"{_name(facts).replace(' ', '_')}.json"

    def _known_run(self, case: cases.Case, arm: cases.Arm, seed: int) -> dict | None:
        """Returns the record of a run that is not to be made again."""
        facts = self._facts(case, arm, seed)
        known = self._known(self._record(facts))
        same = known is not None and all(known[key] == facts[key] for key in facts)
        return known if same else None

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


def _name(facts: dict) -> str:
    return f"{facts['case']}, {facts['arm']}, seed {facts['seed']}"
