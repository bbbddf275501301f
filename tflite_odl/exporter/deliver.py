"""The student by itself: what an app installs, and what it downloads for that.

`student.tflite` infers, and nothing else: the serving twin with the trained weights.
Its quantized kernels are int8 with a DEQUANTIZE behind each, which every runtime runs;
dense ones may take fewer bits where the runtime is known to be newer. `student.packed`
is the same in the fewest bits (see `host.download`), `student.json` tells of both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_odl import contract
from tflite_odl.errors import ArtifactError, ExportError
from tflite_odl.exporter import flatbuffer
from tflite_odl.exporter.places import Constant, quantized
from tflite_odl.host import bake, download
from tflite_odl.host.artifact import Artifact
from tflite_odl.streams import packed

MODEL, PACKED, ABOUT = "student.tflite", "student.packed", "student.json"
# {bits of dense kernels: oldest runtime such a file was run on}.
RUNTIMES = {8: "TFLite 2.14.0", 4: "LiteRT 1.2.0", 2: "LiteRT 2.3.0"}
_TYPES = {4: schema.TensorType.INT4, 2: schema.TensorType.INT2}


@dataclasses.dataclass(frozen=True)
class Student:
    """A student ready to be delivered.

    Attributes:
      model: `student.tflite`.
      packed: (tensors, facts) of `student.packed`.
      about: `student.json`.
    """

    model: bytes
    packed: tuple[dict[str, np.ndarray], dict[str, str]]
    about: dict[str, Any]

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes the folder's three files, the one that tells of the others last.

        Raises:
          ArtifactError: the folder holds something that is no student.
        """
        folder = pathlib.Path(folder)
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        if names - {MODEL, PACKED, ABOUT}:
            raise ArtifactError(f"{folder} holds other files: name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        packed.write(folder / PACKED, *self.packed)
        about = dict(self.about, download=_file(folder / PACKED))
        content = json.dumps(about, indent=1).encode()
        for name, written in ((MODEL, self.model), (ABOUT, content)):
            fresh = folder / f"{name}.writing"
            fresh.write_bytes(written)
            os.replace(fresh, folder / name)
        return folder


def deliver(
    artifact: Artifact, checkpoint: str | os.PathLike | bake.Arrays, dense_bits: int = 8
) -> Student:
    """Returns the student that a run has trained, alone.

    Args:
      artifact: that was trained.
      checkpoint: as for `bake`.
      dense_bits: 8, 4 or 2: of dense kernels whose levels fit. Fewer need a newer
        runtime, see `RUNTIMES`.

    Raises:
      ArtifactError, CheckpointError: see `bake`.
      ExportError: dense_bits is another number, or there is nothing to pack.
    """
    if dense_bits not in RUNTIMES:
        raise ExportError(f"dense_bits is {dense_bits}, needs one of {list(RUNTIMES)}")
    baked = bake.bake(artifact, checkpoint)
    if not quantized(baked):
        raise ExportError("no layer of this artifact is quantized: use tools/bake.py")
    model = baked if dense_bits == 8 else _narrowed(baked, dense_bits)
    kernels = quantized(model)
    infer = artifact.manifest.signature(contract.INFER)
    about = {
        "artifact_id": artifact.manifest.artifact_id,
        "signatures": {
            infer.name: {
                "inputs": [dataclasses.asdict(spec) for spec in infer.inputs],
                "outputs": [dataclasses.asdict(spec) for spec in infer.outputs],
            }
        },
        "classes": list(artifact.manifest.classes),
        "preprocessing": artifact.manifest.preprocessing,
        "oldest_runtime": RUNTIMES[dense_bits if model != baked else 8],
        "installed": {
            "file": MODEL,
            "bytes": len(model),
            "sha256": hashlib.sha256(model).hexdigest(),
        },
        "kernels": [_kernel(model, one) for one in kernels],
    }
    spans = [(one.offset, one.weights) for one in kernels if one.bits == 8]
    return Student(model, download.pack(model, spans), about)


def _kernel(model: bytes, kernel: Constant) -> dict[str, int]:
    """Returns what one kernel takes: as float32; installed, with its scales and the
    zero points that the format asks for; downloaded, with its scales."""
    size = -(-kernel.weights * kernel.bits // 8)
    stored = np.frombuffer(model, np.uint8, size, kernel.offset)
    levels = download.from_bits(stored, kernel.weights, kernel.bits)
    bits = download.bits_of(levels)
    packed_bits = bits if kernel.bits == 8 else kernel.bits
    return {
        "bits": bits,
        "weights": kernel.weights,
        "float_bytes": 4 * kernel.weights,
        "installed_bytes": size + (4 + 8) * kernel.channels,
        "downloaded_bytes": -(-kernel.weights * packed_bits // 8) + 4 * kernel.channels,
    }


def _narrowed(model: bytes, bits: int) -> bytes:
    """Returns the model with dense kernels in as few bits as they need, not below
    `bits`; what fits in neither 2 nor 4 stays int8."""
    tree = flatbuffer.read(model)
    for graph in tree.subgraphs:
        made = {
            int(op.outputs[0]): int(op.inputs[0])
            for op in graph.operators
            if flatbuffer.op_name(tree, op) == "DEQUANTIZE"
        }
        readers = _readers(tree, graph, made)
        for output, constant in made.items():
            if readers[output] == {"FULLY_CONNECTED"}:
                _narrow(tree, graph.tensors[constant], bits)
    flatbuffer.share_buffers(tree)
    return flatbuffer.write(tree)


def _readers(tree, graph, tensors) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {index: set() for index in tensors}
    for op in graph.operators:
        for index in flatbuffer.indices(op.inputs):
            if index in found:
                found[index].add(flatbuffer.op_name(tree, op))
    return found


def _narrow(tree: schema.ModelT, tensor: schema.TensorT, least: int) -> None:
    levels = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.int8)
    # One bit of levels +1 and -1 takes two here.
    needed = max(download.bits_of(levels), 2, least)
    width = next((w for w in (2, 4) if needed <= w), None)
    if width is None:
        return
    tensor.type, tensor.buffer = _TYPES[width], len(tree.buffers)
    tree.buffers.append(schema.BufferT(data=download.to_bits(levels, width)))


def _file(path: pathlib.Path) -> dict[str, Any]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"file": path.name, "bytes": len(content), "sha256": digest}


def totals(kernels: Sequence[dict[str, int]], bits: int | None = None) -> dict:
    """Returns the sums of what `deliver` tells of kernels, of those of so many bits."""
    chosen = [one for one in kernels if bits in (None, one["bits"])]
    names = ("weights", "float_bytes", "installed_bytes", "downloaded_bytes")
    return {name: sum(one[name] for one in chosen) for name in names}
