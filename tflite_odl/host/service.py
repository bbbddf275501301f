"""Takes a baked twin into service, or leaves the one that is there.

Beside `serve.tflite` lies `serve.tflite.json`: the file's sha256, the artifact it
belongs to, its score. The artifact's folder is never written to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl import contract, files
from tflite_odl.errors import ArtifactError, ContractError
from tflite_odl.host import bake
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES

Arrays = Mapping[str, np.ndarray]

NOTE_SUFFIX = ".json"
MOST_NOTE_BYTES = 2**16


@dataclasses.dataclass(frozen=True)
class Decision:
    """What became of a baked twin.

    Attributes:
      taken: whether it is in service now.
      score: of it on the held-out rows, None if there were none.
      before: of the twin that was in service, or the shipped one.
      reason: for people.
    """

    taken: bool
    score: float | None
    before: float | None
    reason: str


def serve(
    path: str | os.PathLike,
    artifact: Artifact,
    checkpoint: Any,
    rows: tuple[Arrays, np.ndarray] | None = None,
    max_drop: float = 0.01,
) -> Decision:
    """Bakes a twin and puts it in service at `path`, unless it is worse.

    Args:
      path: of the twin in service, outside the artifact's folder.
      artifact: opened.
      checkpoint: as `bake.bake` takes it.
      rows: ({input: [n, ...]}, labels) held out from training; None compares nothing.
      max_drop: how far the score (see `score`) may be below the one before.

    Raises:
      ArtifactError, CheckpointError: nothing was baked or written; the twin in service
        stays.
    """
    path = pathlib.Path(path)
    with files.told(ArtifactError, f"cannot write {files.shown(path)}"):
        parent = path.resolve().parent
    if artifact.path.is_dir() and parent == artifact.path.resolve():
        raise ArtifactError(f"{path} is in the artifact's folder, which never changes")
    model = bake.bake(artifact, checkpoint)
    new = before = None
    if rows is not None:
        new = score(model, artifact.manifest, *rows)
        before = score(in_service(path, artifact), artifact.manifest, *rows)
        if not new >= before - max_drop:
            why = f"its score {new:.4f} is more than {max_drop} below {before:.4f}"
            return Decision(False, new, before, f"the twin in service stays: {why}")
    files.write(path, model, ArtifactError)
    note = {
        "sha256": hashlib.sha256(model).hexdigest(),
        "artifact_id": artifact.manifest.artifact_id,
        "score": new,
    }
    files.write(_note(path), json.dumps(note).encode(), ArtifactError)
    files.clean(path.parent)
    return Decision(True, new, before, "in service")


def in_service(path: str | os.PathLike, artifact: Artifact) -> bytes:
    """Returns the twin in service at `path`; the shipped one if there is none, or one
    that is damaged or of another artifact."""
    path = pathlib.Path(path)
    try:
        model = files.read(path, ArtifactError)
        note = json.loads(files.read(_note(path), ArtifactError, MOST_NOTE_BYTES))
        whole = hashlib.sha256(model).hexdigest() == note["sha256"]
        own = note["artifact_id"] == artifact.manifest.artifact_id
    except (ArtifactError, ValueError, KeyError, TypeError, RecursionError):
        return bake.shipped(artifact)
    return model if whole and own else bake.shipped(artifact)


def score(model: bytes, manifest: contract.Manifest, x: Arrays, y: np.ndarray) -> float:
    """Returns how good a twin is on labelled rows; larger is better.

    With class numbers the share of rows whose largest output is theirs; with labels of
    0 and 1 for each output the share of right decisions; of other outputs than
    probabilities minus the mean absolute error. Unlabelled rows are left out.

    Raises:
      ContractError: the rows do not fit the twin.
    """
    spec = manifest.signature(contract.INFER)
    (output,) = spec.outputs
    if output.name == "embedding":
        raise ContractError(
            "a twin that gives embeddings has no score by labels: leave --evaluate out"
        )
    spec.check_names(x)
    y = np.asarray(y)
    labelled = y > contract.UNLABELLED if y.ndim == 1 else ~np.isnan(y).any(-1)
    count, size = len(y), spec.inputs[0].shape[0]
    if not labelled.any() or any(len(value) != count for value in x.values()):
        raise ContractError(
            f"the held-out rows need an input and a label each, got {count} labels"
        )
    found = []
    with RUNTIMES["interpreter"](model, bake.manifest_of(manifest)) as runtime:
        for at in range(0, count, size):
            # The last rows are filled up; what comes of the others is left out.
            chosen = np.minimum(np.arange(at, at + size), count - 1)
            inputs = {name: np.asarray(value)[chosen] for name, value in x.items()}
            outputs = runtime.run(contract.INFER, spec.check_inputs(inputs))
            found.append(outputs[output.name])
    predictions, y = np.concatenate(found)[:count][labelled], y[labelled]
    if output.name != "probabilities":
        return -float(np.abs(predictions - y).mean())
    if y.ndim == 1:
        return float((predictions.argmax(-1) == y).mean())
    return float(((predictions > 0.5) == (y > 0.5)).mean())


def _note(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + NOTE_SUFFIX)
