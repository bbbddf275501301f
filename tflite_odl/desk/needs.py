"""What an artifact needs of a phone: memory of a step, storage."""

from __future__ import annotations

import dataclasses

from tflite_odl import contract
from tflite_odl.host.artifact import Artifact

# Checkpoints that lie on a phone at once: two, and one that is being written.
CHECKPOINTS = 3


@dataclasses.dataclass(frozen=True)
class Needs:
    """In MB of 2^20 bytes.

    Attributes:
      train_mb: memory of a training step, from the file.
      stored_mb: everything that is shipped, and checkpoints.
    """

    train_mb: float
    stored_mb: float


def needs(artifact: Artifact) -> Needs:
    """Returns what an artifact, a folder's or a bare file's, needs."""
    manifest = artifact.manifest
    train = manifest.memory.get(contract.TRAIN, {}).get("total", 0)
    state = sum(spec.bytes for spec in manifest.state)
    shipped = len(artifact.model)
    if artifact.path.is_dir():
        shipped = sum(p.stat().st_size for p in artifact.path.rglob("*") if p.is_file())
    return Needs(train / 2**20, (shipped + CHECKPOINTS * state) / 2**20)
