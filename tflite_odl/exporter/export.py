"""`export`: a method in, a proven artifact out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

from tflite_odl import contract
from tflite_odl.exporter import artifact
from tflite_odl.exporter.build import build
from tflite_odl.exporter.goldens import golden_steps, record
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.methods.base import Method
from tflite_odl.proof import gate
from tflite_odl.proof.batches import Sample
from tflite_odl.proof.proof import Arrays, Proof


@dataclasses.dataclass(frozen=True)
class Exported:
    """A proven artifact in memory.

    Attributes:
      model: the flatbuffer, without its manifest.
      manifest: what it says of itself.
      goldens: calls another machine can prove itself with.
    """

    model: bytes
    manifest: contract.Manifest
    goldens: artifact.Goldens

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes the artifact folder, whole or not at all; returns its path."""
        return artifact.write(folder, self.model, self.manifest, self.goldens)


def export(
    method: Method,
    batch_size: int = 16,
    infer_batch_size: int = 1,
    sample: Sample | None = None,
    keep_rejected: str | os.PathLike | None = None,
    memory_limit: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Exported:
    """Returns the method as a `.tflite` that was compared with TensorFlow.

    Args:
      method: what to export.
      batch_size: rows of one train or evaluate call.
      infer_batch_size: rows of one infer call.
      sample: (x, y) real rows to prove the artifact with, as the sensor gives them, x
        by name if there are several inputs; without it, random ones.
      keep_rejected: a folder for the artifact if it is refused, to study it.
      memory_limit: bytes a train call may take by `memory`; None sets no limit.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: an op is not builtin, a known trap was met, memory is above its
        limit, or the artifact and TensorFlow disagree. Nothing is written but to
        `keep_rejected`.
    """
    model, manifest = build(
        method, batch_size, infer_batch_size, memory_limit, progress
    )
    proof = method.proof(sample)
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    try:
        proofs = _prove(proof, model, manifest, shipped, batch_size, progress)
    except gate.ParityError as error:
        if keep_rejected is not None:
            artifact.write(keep_rejected, model, manifest, rejected=str(error))
        raise
    manifest = dataclasses.replace(manifest, proofs=proofs)
    progress("goldens")
    steps = golden_steps(proof, manifest, shipped, batch_size)
    with RUNTIMES["interpreter"](model, manifest) as runtime:
        drift = proofs["tensorflow_float32"]["train_entry"]
        goldens = record(runtime, shipped, steps, drift)
    return Exported(model, manifest, goldens)


def _prove(
    proof: Proof,
    model: bytes,
    manifest: contract.Manifest,
    shipped: Arrays,
    batch_size: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Returns what the gate found, see `gate.prove`."""
    with contextlib.ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(kind(model, manifest))
            for name, kind in RUNTIMES.items()
        }
        return gate.prove(
            proof, manifest, runtimes, shipped, batch_size, progress=progress
        )
