"""`export`: a method in, a proven artifact out."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

import tflite_odl
from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.exporter import artifact, audit, flatbuffer, memory
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.goldens import record
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.methods.base import Method, Trial
from tflite_odl.proof import batches, gate
from tflite_odl.proof.batches import Sample
from tflite_odl.proof.references.supervised import Batch
from tflite_odl.signatures import TrainableModule

GOLDEN_STEPS = 3
PACKAGES = ("tensorflow", "tf_keras", "ai-edge-litert", "numpy")


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
    for name, size in (
        ("batch_size", batch_size),
        ("infer_batch_size", infer_batch_size),
    ):
        if size < 1:
            raise ExportError(f"{name} must be at least 1, got {size}")
    progress("trace")
    module = TrainableModule(method, batch_size, infer_batch_size)
    progress("convert")
    tree = flatbuffer.read(convert(module))
    progress("audit")
    audited = audit.audit(tree, method.layers())
    audited.check()
    progress("compact")
    model = compact(tree)
    manifest = _manifest(method, module, model, tree, audited)
    _check_memory(manifest, memory_limit)
    progress("prove")

    trials = method.trials(batch_size)

    def draw(trial: Trial, attempt: int) -> Batch:
        return batches.batch(method, batch_size, trial, sample, attempt)

    try:
        proofs = _prove(method, model, manifest, trials, draw, infer_batch_size)
    except gate.ParityError as error:
        if keep_rejected is not None:
            artifact.write(keep_rejected, model, manifest, rejected=str(error))
        raise
    manifest = dataclasses.replace(manifest, proofs=proofs)
    with RUNTIMES["interpreter"](model, manifest) as runtime:
        found = [draw(trial, 0) for trial in trials[:GOLDEN_STEPS]]
        goldens = record(runtime, found, proofs["tensorflow_float32"]["train_entry"])
    return Exported(model, manifest, goldens)


def _check_memory(manifest: contract.Manifest, limit: int | None) -> None:
    parts = dict(manifest.memory[contract.TRAIN])
    if limit is not None and parts["total"] > limit:
        shown = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in parts.items())
        raise ExportError(
            f"a train call takes {parts['total'] / 1e6:.1f} MB, the memory limit is "
            f"{limit / 1e6:.1f} MB ({shown}): take a smaller batch, or accumulate"
        )


def _prove(
    method: Method,
    model: bytes,
    manifest: contract.Manifest,
    trials: Sequence[Trial],
    draw: Callable[[Trial, int], Batch],
    infer_rows: int,
) -> dict[str, Any]:
    """Returns {runtime: {figure: largest error}}."""
    with contextlib.ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(kind(model, manifest))
            for name, kind in RUNTIMES.items()
        }
        return gate.prove(method, runtimes, trials, draw, infer_rows)


def _manifest(
    method: Method,
    module: TrainableModule,
    model: bytes,
    tree: schema.ModelT,
    audited: audit.Audit,
) -> contract.Manifest:
    state = tuple(module.specs.values())
    return contract.Manifest(
        artifact_id=artifact.artifact_id(model),
        method={"name": method.name, "config": dataclasses.asdict(method.config)},
        signatures=module.interface,
        state=state,
        classes=method.classes,
        preprocessing=_preprocessing(method),
        plan=method.plan_names(),
        ops=audited.ops_by_signature,
        sizes=flatbuffer.sizes(model, tree),
        memory=memory.memory(tree, state),
        versions=_versions(),
    )


def _preprocessing(method: Method) -> dict[str, Any]:
    """Returns that of the only input, or {input name: its own}."""
    found = {
        part.name: dataclasses.asdict(part.preprocessing) for part in method.features
    }
    return next(iter(found.values())) if len(found) == 1 else found


def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    proven = found["ai-edge-litert"]
    return {"tflite_odl": tflite_odl.__version__, **found, "oldest_runtime": proven}
