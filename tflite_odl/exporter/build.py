"""Builds a method's model and its manifest; nothing is proven yet."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable
from typing import Any

from ai_edge_litert import schema_py_generated as schema

import tflite_odl
from tflite_odl import contract
from tflite_odl.builtin.quantized import Backbone
from tflite_odl.errors import ExportError
from tflite_odl.exporter import artifact, audit, flatbuffer, memory
from tflite_odl.exporter.compact import compact
from tflite_odl.exporter.convert import convert
from tflite_odl.exporter.int8 import audit_int8
from tflite_odl.methods.base import Method
from tflite_odl.signatures import TrainableModule

PACKAGES = ("tensorflow", "tf_keras", "ai-edge-litert", "numpy")


def build(
    method: Method,
    batch_size: int,
    infer_batch_size: int,
    memory_limit: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    backbone: Backbone | None = None,
) -> tuple[bytes, contract.Manifest]:
    """Returns (flatbuffer, its manifest without proofs); see `export`.

    `backbone` is that of the method's network, if it has one in int8.

    Raises:
      ExportError: a batch size is below 1, an op is not builtin, a known trap was met,
        or memory is above its limit.
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
    tree = flatbuffer.read(convert(module, int8=backbone is not None))
    progress("audit")
    audited = audit.audit(tree, method.layers())
    audited.check()
    if backbone is not None:
        audit_int8(tree, method.layers(), backbone)
    progress("compact")
    model = compact(tree)
    manifest = _manifest(method, module, model, tree, audited)
    _check_memory(manifest, memory_limit)
    return model, manifest


def _check_memory(manifest: contract.Manifest, limit: int | None) -> None:
    parts = dict(manifest.memory[contract.TRAIN])
    if limit is not None and parts["total"] > limit:
        shown = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in parts.items())
        raise ExportError(
            f"a train call takes {parts['total'] / 1e6:.1f} MB, the memory limit is "
            f"{limit / 1e6:.1f} MB ({shown}): take a smaller batch, or accumulate"
        )


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
