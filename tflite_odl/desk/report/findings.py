"""What a report tells of, as data: `report.json` holds it, the page shows it."""

from __future__ import annotations

import dataclasses
from typing import Any

from tflite_odl import contract
from tflite_odl.desk.profiles import Profile
from tflite_odl.host import loop
from tflite_odl.host.artifact import Artifact

# What every record has; the others are metrics of the method.
COMMON = ("batch", "accepted", "step", "rejected_rows", "correct", "count", "ms")
POINTS = 240


@dataclasses.dataclass(frozen=True)
class Findings:
    """What one run has shown.

    Attributes:
      artifact: name, id, method, bytes on disk, ops that need Flex, classes.
      device: the profile's fields, {} without one.
      dataset: its name.
      before, after: of `evaluate` on the held-out rows.
      curves: {name: [[batch, value], ...]}, smoothed; `accuracy` is prequential.
      faults: kind and batch of each that came.
      stream: rows lost, duplicated, corrupted.
      equal: whether faults of the app's life left what is learned as it was.
      calls: {signature: milliseconds on this desk}.
      memory: {signature: {part: bytes}}, from the file; `used_mb`, `limit_mb`,
        `mechanism` of the run.
      storage: bytes of artifact and checkpoints, bytes written in an hour.
      parity: rows of the matrix.
      counts: of signatures on an emulated core.
      goldens: how many hold, of how many.
      phone: of a run on a real one: its `device`, why it got this artifact (`reasons`),
        its `engine`, `goldens`, `before`, `after`, and how both runs are `compared`.
      update: what another artifact took over amid the run, as `desk.phone.Update` has
        it; {} without one.
      pictures: {buffer: data URI} of the images it holds; only where asked for.
    """

    artifact: dict[str, Any]
    device: dict[str, Any]
    dataset: str
    before: dict[str, float]
    after: dict[str, float]
    curves: dict[str, list[list[float]]]
    faults: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    stream: dict[str, int] = dataclasses.field(default_factory=dict)
    equal: bool | None = None
    calls: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    memory: dict[str, Any] = dataclasses.field(default_factory=dict)
    storage: dict[str, float] = dataclasses.field(default_factory=dict)
    parity: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    counts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    goldens: dict[str, int] = dataclasses.field(default_factory=dict)
    phone: dict[str, Any] = dataclasses.field(default_factory=dict)
    update: dict[str, Any] = dataclasses.field(default_factory=dict)
    pictures: dict[str, str] = dataclasses.field(default_factory=dict)


def about(artifact: Artifact) -> dict[str, Any]:
    """Returns what a report says of an artifact."""
    manifest = artifact.manifest
    oldest = manifest.versions.get("oldest_runtime", "")
    return {
        "name": artifact.path.name,
        "id": manifest.artifact_id,
        "method": manifest.method.get("name", ""),
        "quantization": manifest.quantization.get("recipe", ""),
        "model_bytes": len(artifact.model),
        "state_bytes": sum(spec.bytes for spec in manifest.state),
        "batch_size": manifest.signature(contract.TRAIN).inputs[0].shape[0],
        "flex_ops": loop.flex_ops(manifest),
        "oldest_runtime": oldest,
        "memory": manifest.memory,
    }


def described(profile: Profile | None) -> dict[str, Any]:
    """Returns a profile as JSON has it."""
    return dataclasses.asdict(profile) if profile else {}


def curves(records: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Returns each metric over the batches, in at most `POINTS` means."""
    if not records:
        return {}
    names = [
        name
        for name, value in records[-1].items()
        if name not in COMMON and isinstance(value, (int, float))
    ]
    found = {name: _means(records, lambda r, n=name: r.get(n)) for name in names}
    if "correct" in records[-1]:
        share = lambda r: r["correct"] / r["count"] if r.get("count") else None  # noqa: E731
        found = {"accuracy": _means(records, share), **found}
    return {name: points for name, points in found.items() if points}


def _means(records: list[dict[str, Any]], value) -> list[list[float]]:
    size = max(1, -(-len(records) // POINTS))
    points = []
    for start in range(0, len(records), size):
        part = records[start : start + size]
        values = [v for v in map(value, part) if isinstance(v, (int, float))]
        if values:
            points.append([part[-1]["batch"], sum(values) / len(values)])
    return points
