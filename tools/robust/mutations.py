"""Damaged files of every kind, read in children: refused, or equal to the whole."""

from __future__ import annotations

import collections
import pathlib

from tflite_odl.errors import OdlError
from tools.robust import children, damage, kinds

CHUNK, MOST_SECONDS = 50, 600
# What falls back to what was shipped, or to what is unpacked again, is refused as well.
FALLS_BACK = "shipped"
GOOD = ("refused", "equal", "in part", "other plan")


def study(
    name: str, artifact: pathlib.Path, work: pathlib.Path, count: int, begin: int = 0
) -> dict:
    """Returns how often what happened, and the seeds of what must not happen.

    Args:
      name: key of `kinds.NAMES`.
      artifact: a whole one.
      work: an empty folder.
      count: of damaged files.
      begin: seed of the first.
    """
    found: collections.Counter = collections.Counter()
    bad: list[list] = []
    for first in range(begin, begin + count, CHUNK):
        seeds = range(first, min(first + CHUNK, begin + count))
        _several(name, artifact, work, seeds, found, bad)
    return {"kind": name, "files": count, **found, "bad": bad[:20]}


def _several(name, artifact, work, seeds, found, bad) -> None:
    """Counts what several seeds come to; one by one where their child does not end."""
    how, answer = children.run(
        lambda: outcomes(name, artifact, work, seeds), MOST_SECONDS
    )
    if how == "done":
        for seed, outcome in zip(seeds, answer):
            found[outcome.partition(":")[0]] += 1
            if outcome not in GOOD:
                bad.append([seed, outcome])
    elif len(seeds) == 1:
        found[how] += 1
        bad.append([seeds[0], f"{how}: {answer}"])
    else:
        for seed in seeds:
            _several(name, artifact, work, range(seed, seed + 1), found, bad)


def outcomes(name: str, artifact: pathlib.Path, work: pathlib.Path, seeds) -> list[str]:
    """Returns what became of the damaged file of each seed, in this process."""
    kind = kinds.prepare(name, artifact, work)
    content, expected = kind.file.read_bytes(), kind.read()
    found = []
    for seed in seeds:
        changed = damage.damaged(content, seed)
        kind.file.unlink(missing_ok=True)
        kind.file.write_bytes(changed)
        found.append(_outcome(kind, expected, name))
    return found


def _outcome(kind: kinds.Kind, expected, name: str) -> str:
    try:
        found = kind.read()
    except OdlError:
        return "refused"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"[:200]
    if found == expected:
        return "equal"
    if found == FALLS_BACK:
        return "refused"
    if name == "plan":  # another lowering of the same layer, which is proven as well
        return "other plan"
    if kind.parts and all(one in expected for one in found):
        return "in part"
    return "other numbers"
