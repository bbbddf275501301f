"""Seeded batches for any artifact, and what a run of it came to."""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from tflite_odl import contract
from tflite_odl.contract.names import FEATURE, LABEL
from tflite_odl.host.session import Session
from tools.robust.nets import CLASSES

Arrays = dict[str, np.ndarray]


def batch(manifest: contract.Manifest, seed: int) -> Arrays:
    """Returns a train call's features and labels: which feature leads."""
    rng = np.random.default_rng(seed)
    found = {}
    for spec in manifest.signature(contract.TRAIN).inputs:
        if spec.role == FEATURE and spec.dtype == "uint8":
            found[spec.name] = rng.integers(0, 256, spec.shape).astype(np.uint8)
        elif spec.role == FEATURE:
            found[spec.name] = rng.normal(size=spec.shape).astype(np.float32)
    x = next(iter(found.values()))
    for spec in manifest.signature(contract.TRAIN).inputs:
        if spec.role == LABEL:
            leading = x.reshape(len(x), -1)[:, :CLASSES].argmax(1)
            found[spec.name] = leading.astype(np.int32)
    return found


def stream(
    manifest: contract.Manifest, start: int
) -> Iterator[tuple[Arrays, np.ndarray]]:
    """Yields batches as `loop.run` takes them, from number `start` on."""
    for number in itertools.count(start):
        features = batch(manifest, number)
        yield features, features.pop("y", None)


def call(session: Session, inputs: Arrays) -> Arrays:
    """Returns the outputs of one infer call on the features of a train batch."""
    return {"out": session.infer(**{name: inputs[name] for name in session.features})}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns a short hash of the arrays' bytes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()[:16]


def state(session: Session) -> str:
    """Returns a short hash of the whole state."""
    return digest(session.state(include_buffers=True))


def told(path: pathlib.Path) -> list[dict]:
    """Returns a run's records without what is measured."""
    lines = path.read_text().splitlines()
    kept = [{**json.loads(line), "ms": 0, "crc": ""} for line in lines]
    return kept
