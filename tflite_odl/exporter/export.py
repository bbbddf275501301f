"""`export`: a method in, a proven artifact out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from tflite_odl import contract
from tflite_odl.errors import ExportError
from tflite_odl.exporter import artifact, int8_twin, recipes
from tflite_odl.exporter.build import build
from tflite_odl.exporter.goldens import golden_steps, record
from tflite_odl.exporter.int8 import Rows, quantized
from tflite_odl.exporter.layers import converted
from tflite_odl.exporter.twin import Served, serve
from tflite_odl.host.bake import manifest_of
from tflite_odl.host.runtimes import RUNTIMES, Runtime
from tflite_odl.methods.base import Method
from tflite_odl.proof import encoded_twins, gate, int8_twins, layers, twins
from tflite_odl.proof.batches import Sample
from tflite_odl.proof.cache import Cache
from tflite_odl.proof.proof import Arrays, Proof
from tflite_odl.signing import Key


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

    def save(self, folder: str | os.PathLike, sign: Key | None = None) -> pathlib.Path:
        """Writes the artifact folder, whole or not at all; returns its path.

        Args:
          folder: an older artifact there is replaced.
          sign: an Ed25519 private key, a PEM file or 32 bytes; None signs nothing.

        Raises:
          ArtifactError: it cannot be written, or there is no such key; what was there
            is as it was.
        """
        twin = self.twin
        return artifact.write(
            folder, self.model, self.manifest, self.goldens, twin=twin, sign=sign
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
    recipe, backbone, plan = recipes.recipe(quantize), None, None
    own: dict[str, Any] = {}
    quantization = recipe.to_manifest()
    if calibrate is not None and not recipe.calibrated:
        raise ExportError(
            f"recipe {quantize!r} finds no ranges: leave the calibration rows out"
        )
    if recipe.calibrated and calibrate is None:
        raise ExportError(f"recipe {quantize!r} needs rows to calibrate with")
    if recipe.serving in ("int8", *recipes.STORED) and not (serving and method.bakes):
        why = f"{method.name} has none" if serving else "it is left out"
        raise ExportError(f"recipe {quantize!r} is of the serving twin, and {why}")
    if recipe.serving == "int8":
        plan = int8_twin.planned(method.serving().network, calibrate, progress)
        method = method.observing(plan.observed)
        quantization |= plan.to_manifest()
    if recipe.backbone == "int8":
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
        if plan is None:
            kind = recipes.STORED.get(recipe.serving, "float32")
            twin = serve(method, infer_batch_size, kind)
        else:
            twin = int8_twin.serve(method, plan, infer_batch_size)
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
    rows = next(s.inputs for s in steps if s.signature == contract.INFER)
    rows = rows if plan is None else plan.sample
    proofs = {
        **proofs,
        "serving_twin": _prove_twin(model, manifest, twin, shipped, rows),
    }
    manifest = dataclasses.replace(manifest, proofs=proofs)
    return Exported(model, manifest, goldens, twin.model)


def _prove_twin(
    model: bytes,
    manifest: contract.Manifest,
    twin: Served,
    shipped: Arrays,
    rows: Arrays,
) -> dict[str, Any]:
    """Returns what `twins.prove`, or its kin for fewer bits, found.

    `rows` are those of `infer`.
    """
    baked = {
        name: functools.partial(_baked, kind, twin, manifest_of(manifest))
        for name, kind in RUNTIMES.items()
    }
    with contextlib.ExitStack() as stack:
        runtimes = {
            name: stack.enter_context(kind(model, manifest))
            for name, kind in RUNTIMES.items()
        }
        if isinstance(twin, int8_twin.ServedInt8):
            return int8_twins.prove(runtimes, baked, twin, shipped, rows)
        if twin.kind != "float32":
            return encoded_twins.prove(runtimes, baked, twin, shipped, rows)
        return {
            name: twins.prove(runtime, baked[name], shipped, rows)
            for name, runtime in runtimes.items()
        }


def _baked(
    kind: Any, twin: Served, manifest: contract.Manifest, state: Arrays
) -> Runtime:
    return kind(twin.bake(state), manifest)


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
