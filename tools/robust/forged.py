"""What an attacker makes who can hash again: states, manifests, signed artifacts."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import shutil
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import OdlError
from tflite_odl.exporter import flatbuffer
from tflite_odl.host import checkpoint, embedded
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.session import Session
from tools.robust import children, driving

CHUNK, MOST_SECONDS = 50, 600
NUMBERS = (-1, 0, 1, 20, 1000, 2**31 - 1, -(2**31), 1e-45, 1e10, 3e38, np.inf, np.nan)
VALUES = (None, -1, 0, 2**31, 1e300, "", "x", [], {}, [[]], True, "NaN", [1] * 9)


def states(path: pathlib.Path, work: pathlib.Path, count: int) -> dict:
    """Returns what became of forged checkpoints with a right checksum."""
    return _counted("checkpoint", count, lambda seeds: _states(path, work, seeds))


def manifests(path: pathlib.Path, work: pathlib.Path, count: int) -> dict:
    """Returns what became of forged manifests in models that are sealed again."""
    return _counted("manifest", count, lambda seeds: _manifests(path, work, seeds))


def _counted(kind: str, count: int, tried) -> dict:
    found: collections.Counter = collections.Counter()
    bad: list[list] = []
    for first in range(0, count, CHUNK):
        seeds = range(first, min(first + CHUNK, count))
        how, answer = children.run(lambda s=seeds: tried(s), MOST_SECONDS)
        if how != "done":
            found[how] += len(seeds)
            bad.append([first, f"{how}: {answer}"])
            continue
        for seed, outcome in zip(seeds, answer):
            found[outcome.partition(":")[0]] += 1
            if outcome not in ("refused", "failed and refused", "sound"):
                bad.append([seed, outcome])
    return {"kind": kind, "files": count, **found, "bad": bad[:20]}


def _states(path: pathlib.Path, work: pathlib.Path, seeds) -> list[str]:
    artifact, outcomes = Artifact.open(path), []
    with Session(artifact, checkpoint_dir=work / "forged") as session:
        whole = session.state(include_buffers=True)
        for seed in seeds:
            rng, state = np.random.default_rng(seed), dict(whole)
            for _ in range(1 + seed % 3):
                name = list(state)[int(rng.integers(len(state)))]
                state[name] = _forged(rng, state[name])
            shutil.rmtree(work / "forged", ignore_errors=True)
            session.reset()
            now = checkpoint.Checkpoint(state, int(state["step"][0]), seed)
            try:
                checkpoint.save(work / "forged", artifact.manifest, now)
                session.restore_checkpoint()
            except OdlError:
                outcomes.append("refused")
                continue
            outcomes.append(_used(session))
    return outcomes


def _forged(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    number = NUMBERS[int(rng.integers(len(NUMBERS)))]
    found = value.copy()
    with np.errstate(all="ignore"):
        forged = np.array(number).astype(value.dtype)
        if rng.random() < 0.5:
            found[...] = forged
        else:
            found.flat[int(rng.integers(found.size))] = forged
    return found


def _used(session: Session) -> str:
    """Returns what some steps from a forged state come to."""
    try:
        for seed in range(3):
            inputs = driving.batch(session.manifest, seed)
            session.train(**inputs)
            driving.call(session, inputs)
        session.evaluate(**inputs)
        state = session.state(include_buffers=True)
    except OdlError:
        return "failed and refused"
    except Exception as error:
        return f"traceback: {error!r}"[:200]
    for spec in session.manifest.state:
        if problem := spec.misfit(state[spec.name]):
            return f"absurd: {problem}"
    return "sound"


def _manifests(path: pathlib.Path, work: pathlib.Path, seeds) -> list[str]:
    work.mkdir(parents=True, exist_ok=True)
    model = (path / contract.MODEL_FILE).read_bytes()
    bare = work / "forged.tflite"
    manifest = dataclasses.replace(embedded.manifest(model), files={}).to_json()
    outcomes = []
    for seed in seeds:
        content = json.loads(manifest)
        _change(np.random.default_rng(seed), content)
        bare.write_bytes(flatbuffer.embed(model, json.dumps(content)))
        try:
            with Session(bare, "interpreter", 1) as session:
                outcomes.append(_used(session))
        except OdlError:
            outcomes.append("refused")
        except Exception as error:
            outcomes.append(f"traceback: {error!r}"[:200])
    return outcomes


def _change(rng: np.random.Generator, content: Any) -> None:
    """Puts another value at a place of a JSON value, at any depth."""
    while True:
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = keys[int(rng.integers(len(keys)))]
        deeper = content[key]
        if isinstance(deeper, (dict, list)) and deeper and rng.random() < 0.85:
            content = deeper
            continue
        content[key] = VALUES[int(rng.integers(len(VALUES)))]
        return
