"""The suite robust: kills, damaged and forged files, threads, full disks, poison."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import processes
import records

STUDIES = ("kills", "mutations", "forged", "threads", "disk", "long", "poison", "fuzz")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of each study is done."""

    kills: int = 300
    mutations: int = 2000
    forged: int = 2000
    calls: int = 10_000
    sizes: int = 60
    steps: int = 1_000_000
    poison: int = 200
    seconds: int = 600

    def scaled(self, share: float) -> Sizes:
        """Returns a share of all numbers, a few of each at least."""
        numbers = dataclasses.asdict(self).items()
        return Sizes(**{n: max(FEW.get(n, 10), round(v * share)) for n, v in numbers})


FEW = {"sizes": 12, "steps": 10_000, "poison": 60, "calls": 300}
QUICK = Sizes(12, 40, 40, 300, 8, 10_000, 30, 5)


class Kept:
    """What is found, kept after each part; a suite that was stopped goes on there."""

    def __init__(
        self, path: pathlib.Path, facts: dict[str, Any], keep: bool, say: Callable
    ) -> None:
        self._path, self._say = path, say
        self.found = json.loads(path.read_text()) if path.exists() else {}
        if self.found.get("facts") != facts and not keep:
            self.found = {"facts": facts}

    def __call__(self, study: str, part: str, work: Callable[[], Any]) -> Any:
        """Returns the result of a part, which is worked out unless it is there."""
        parts = self.found.setdefault(study, {})
        if part not in parts:
            self._say(f"{study}: {part}")
            parts[part] = work()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            records.write(self._path, self.found)
        return parts[part]


def main(request) -> str:
    """Runs what is missing; writes page and data unless quick; returns the page.

    Raises:
      KeyError: a case is unknown.
    """
    if unknown := sorted(set(request.cases) - set(STUDIES)):
        raise KeyError(f"unknown {unknown}, there are {list(STUDIES)}")
    from tools.robust import nets, page

    sizes = QUICK if request.quick else Sizes().scaled(request.share)
    work = (request.work / "quick" if request.quick else request.work).resolve()
    artifacts = nets.artifacts(work / "artifacts", request.say)
    facts = {"library": processes.fingerprint(), **dataclasses.asdict(sizes)}
    keep = Kept(work / "found.json", facts, request.keep, request.say)
    for study in request.cases or STUDIES:
        globals()[f"_{study}"](artifacts, work / study, sizes, keep, request.say)
    found = [
        {"study": study, "part": part, "of": result}
        for study in STUDIES
        for part, result in keep.found.get(study, {}).items()
    ]
    results = {
        "share": request.share,
        "sizes": dataclasses.asdict(sizes),
        "machine": processes.machine(),
        "versions": processes.versions(),
        "records": found,
    }
    return records.publish(request, results, page.page)


def _kills(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import kills

    share = -(-sizes.kills // len(artifacts))
    for name, path in artifacts.items():
        keep("kills", name, lambda n=name, p=path: kills.study({n: p}, work, share))


def _mutations(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import kinds, mutations, nets

    small = artifacts[nets.SMALL]
    for name in kinds.NAMES:
        study = lambda n=name: mutations.study(n, small, work, sizes.mutations)  # noqa: E731
        keep("mutations", name, study)


def _forged(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import forged

    share = -(-sizes.forged // len(artifacts))
    for name, path in artifacts.items():
        for kind in ("states", "manifests"):
            study = getattr(forged, kind)
            keep(
                "forged", f"{kind} of {name}", lambda s=study, p=path: s(p, work, share)
            )


def _threads(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import nets, threads

    path = artifacts[nets.SMALL]
    keep("threads", nets.SMALL, lambda: threads.study(path, sizes.calls))


def _disk(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import disk, nets

    path = artifacts[nets.SMALL]
    keep("disk", nets.SMALL, lambda: disk.study(path, work, sizes.sizes))


def _long(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import long, nets

    path = artifacts[nets.SMALL]
    keep("long", nets.SMALL, lambda: long.study(path, work, sizes.steps))


def _poison(artifacts, work, sizes, keep, say) -> None:
    from tflite_odl import contract
    from tflite_odl.contract.names import LABEL
    from tflite_odl.host.artifact import Artifact
    from tools.robust import poison

    for name, path in artifacts.items():
        train = Artifact.open(path).manifest.signature(contract.TRAIN)
        if not train.inputs_of(LABEL):  # no loss to be judged by
            continue
        study = lambda n=name, p=path: poison.study({n: p}, sizes.poison)  # noqa: E731
        keep("poison", name, study)


def _fuzz(artifacts, work, sizes, keep, say) -> None:
    from tools.robust import fuzzing, nets

    path = artifacts[nets.SMALL]
    for target in fuzzing.TARGETS:
        study = lambda t=target: fuzzing.study(t, path, work, sizes.seconds, say)  # noqa: E731
        keep("fuzz", target, study)
