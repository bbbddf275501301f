"""`export`: a method in, a proven artifact out."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.exporter import artifact, recipes
from tflite_odl.exporter.build import build
from tflite_odl.exporter.goldens import golden_steps, record
from tflite_odl.exporter.int8 import Rows, quantized
from tflite_odl.exporter.layers import converted
from tflite_odl.exporter.twin import Served, serve
from tflite_odl.host.bake import manifest_of
from tflite_odl.host.runtimes import RUNTIMES, Runtime
from tflite_odl.methods.base import Method
from tflite_odl.proof import gate, layers, twins
from tflite_odl.proof.batches import Sample
from tflite_odl.proof.cache import Cache
from tflite_odl.proof.proof import Arrays, Proof, Trial


@dataclasses.dataclass(frozen=True)
class Exported:
    """A proven artifact in memory.

    Attributes:
      model: the flatbuffer, without its manifest.
      manifest: what it says of itself.
      goldens: calls another machine can prove itself with.
      twin: the serving twin with the shipped weights, if there is one.
    """

    model: bytes
    manifest: contract.Manifest
    goldens: artifact.Goldens
    twin: bytes | None = None

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes the artifact folder, whole or not at all; returns its path."""
        return artifact.write(
            folder, self.model, self.manifest, self.goldens, twin=self.twin
        )


def export(
    method: Method,
    batch_size: int = 16,
    infer_batch_size: int = 1,
    sample: Sample | None = None,
    keep_rejected: str | os.PathLike | None = None,
    memory_limit: int | None = None,
    cache: Cache | None = None,
    serving: bool = True,
    quantize: str = "float32",
    calibrate: Rows | None = None,
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
      cache: of layers that were proven before; None takes the user's own.
      serving: whether `serve.tflite`, the serving twin, is made as well, if the method
        has one.
      quantize: name of a recipe, see `recipes`.
      calibrate: rows to find ranges of activations with, as the sensor gives them, by
        name if there are several inputs; what is int8 needs them.
      progress: called with the name of each stage as it begins.

    Raises:
      ExportError: an op is not builtin, a known trap was met, memory is above its
        limit, or the artifact and TensorFlow disagree. Nothing is written but to
        `keep_rejected`.
    """
    recipe, backbone = recipes.recipe(quantize), None
    own: dict[str, Any] = {}
    quantization = recipe.to_manifest()
    if calibrate is not None and not recipe.calibrated:
        raise ExportError(
            f"recipe {quantize!r} finds no ranges: leave the calibration rows out"
        )
    if recipe.calibrated:
        if calibrate is None:
            raise ExportError(f"recipe {quantize!r} needs rows to calibrate with")
        int8 = quantized(method, recipe, calibrate, progress)
        method, backbone = int8.method, int8.backbone
        own["int8_backbone"] = int8.proofs
        quantization |= int8.to_manifest()
    model, manifest = build(
        method, batch_size, infer_batch_size, memory_limit, progress, backbone
    )
    manifest = dataclasses.replace(manifest, quantization=quantization)
    twin = None
    if serving and method.bakes:
        progress("serving twin")
        twin = serve(method, infer_batch_size)
        manifest = dataclasses.replace(manifest, serving=twin.twin.to_json())
    proof = method.proof(sample)
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    try:
        proofs = proven(proof, model, manifest, method, batch_size, progress)
        proofs["layers_alone"] = layers.prove(
            proof.layers(batch_size), converted, cache or Cache.usual(), progress
        )
    except gate.ParityError as error:
        if keep_rejected is not None:
            artifact.write(keep_rejected, model, manifest, rejected=str(error))
        raise
    proofs = {**proofs, **own}
    manifest = dataclasses.replace(manifest, proofs=proofs)
    progress("goldens")
    steps = golden_steps(proof, manifest, shipped, batch_size)
    with RUNTIMES["interpreter"](model, manifest) as runtime:
        drift = proofs["tensorflow_float32"]["train_entry"]
        goldens = record(runtime, shipped, steps, drift)
    if twin is None:
        return Exported(model, manifest, goldens)
    progress("prove the serving twin")
    proofs = {
        **proofs,
        "serving_twin": _prove_twin(model, manifest, twin, proof, shipped),
    }
    manifest = dataclasses.replace(manifest, proofs=proofs)
    return Exported(model, manifest, goldens, twin.model)


def _prove_twin(
    model: bytes,
    manifest: contract.Manifest,
    twin: Served,
    proof: Proof,
    shipped: Arrays,
) -> dict[str, Any]:
    """Returns what `twins.prove` found on each runtime."""
    shapes = {s.name: s.shape for s in manifest.signature(contract.INFER).inputs}
    rows = next(iter(shapes.values()))[0]

    def calls() -> Iterator[Arrays]:
        for attempt in itertools.count():
            batch = proof.draw(Trial(), 0, rows, attempt, 0)
            yield proof.inputs(contract.INFER, batch, shapes)

    found = {}
    for name, kind in RUNTIMES.items():

        def baked(state: Arrays, kind=kind) -> Runtime:
            return kind(twin.bake(state), manifest_of(manifest))

        with kind(model, manifest) as runtime:
            found[name] = twins.prove(runtime, baked, shipped, calls(), twin.discrete)
    return found


def proven(
    proof: Proof,
    model: bytes,
    manifest: contract.Manifest,
    method: Method,
    batch_size: int,
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Returns what the gate found of a model on both runtimes, see `gate.prove`.

    Raises:
      ParityError: the model and TensorFlow disagree.
    """
    shipped = {name: tensor.value for name, tensor in method.state().items()}
    with contextlib.ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(kind(model, manifest))
            for name, kind in RUNTIMES.items()
        }
        return gate.prove(
            proof, manifest, runtimes, shipped, batch_size, progress=progress
        )
