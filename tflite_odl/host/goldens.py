"""Repeats an artifact's golden calls on this machine's runtime."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from tflite_odl import contract
from tflite_odl.errors import ArtifactError
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import Runtime


@dataclasses.dataclass(frozen=True)
class Result:
    """One output of one golden call: its largest error and whether that is allowed."""

    call: int
    signature: str
    output: str
    error: float
    passed: bool
    reason: str


def check(runtime: Runtime, artifact: Artifact) -> list[Result]:
    """Makes the golden calls in order on a fresh runtime and compares every output.

    Raises:
      ArtifactError: the artifact has no goldens, or one of its files is damaged.
    """
    folder = artifact.path / contract.GOLDENS_FOLDER
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"no goldens in {folder}: {error}") from error

    def tensor(file: str) -> np.ndarray:
        about = index["tensors"][file]
        dtype = np.dtype(about["dtype"]).newbyteorder("<")
        value = np.fromfile(folder / file, dtype).astype(about["dtype"])
        if value.size != np.prod(about["shape"]):
            raise ArtifactError(f"{folder / file} is cut: {value.size} values")
        return value.reshape(about["shape"])

    results = []
    for number, call in enumerate(index["steps"]):
        inputs = {name: tensor(file) for name, file in call["inputs"].items()}
        outputs = runtime.run(call["signature"], inputs)
        for name, expected in call["outputs"].items():
            value = tensor(expected["file"]).astype(np.float64)
            error = np.abs(outputs[name] - value)
            allowed = expected["atol"] + expected["rtol"] * np.abs(value)
            passed = bool((error <= allowed).all())
            found = (number, call["signature"], name, float(error.max()), passed)
            results.append(Result(*found, expected["reason"]))
    return results
