"""Repeats an artifact's golden calls on this machine's runtime."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

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

    A call that names changes of the shipped state begins from there, the others from
    what the call before has made. An output that is missing, or that the goldens do not
    know, fails.

    Raises:
      ArtifactError: the artifact has no goldens, or one of its files is damaged.
    """
    folder = artifact.path / contract.GOLDENS_FOLDER
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"no goldens in {folder}: {error}") from error
    read = functools.partial(_tensor, folder, index["tensors"])
    results = []
    unused = {"unused": np.zeros(1, np.float32)}
    stated = any("shipped_state_with" in call for call in index["steps"])
    shipped = runtime.run(contract.SAVE, unused) if stated else {}
    for number, call in enumerate(index["steps"]):
        if "shipped_state_with" in call:
            files = call["shipped_state_with"]
            changes = {name: read(file) for name, file in files.items()}
            restore = runtime.manifest.signature(contract.RESTORE)
            state = restore.check_inputs({**shipped, **changes})
            runtime.run(contract.RESTORE, state)
        signature = runtime.manifest.signature(call["signature"])
        inputs = {name: read(file) for name, file in call["inputs"].items()}
        outputs = runtime.run(signature.name, signature.check_inputs(inputs))
        for name, expected in call["outputs"].items():
            error, passed = float("inf"), False
            if name in outputs:
                golden = read(expected["file"])
                error, passed = _compare(outputs[name], golden, expected)
            about = (number, signature.name, name, error, passed)
            results.append(Result(*about, expected["reason"]))
        for name in outputs.keys() - call["outputs"].keys():
            about = (number, signature.name, name, float("inf"), False)
            results.append(Result(*about, "the goldens do not know it"))
    return results


def _tensor(folder: pathlib.Path, tensors: dict, file: str) -> np.ndarray:
    about = tensors[file]
    dtype = np.dtype(about["dtype"]).newbyteorder("<")
    try:
        value = np.fromfile(folder / file, dtype).astype(about["dtype"])
    except OSError as error:
        raise ArtifactError(f"cannot read {folder / file}: {error}") from error
    if value.size != np.prod(about["shape"]):
        raise ArtifactError(
            f"{folder / file} is cut: {value.size} values, needs {about['shape']}"
        )
    return value.reshape(about["shape"])


def _compare(value: np.ndarray, golden: np.ndarray, expected) -> tuple[float, bool]:
    """Returns the largest error and whether all are allowed; NaN equals NaN alone."""
    if value.dtype != golden.dtype or value.shape != golden.shape:
        return float("inf"), False
    wide, golden = value.astype(np.float64), golden.astype(np.float64)
    same = (wide == golden) | (np.isnan(wide) & np.isnan(golden))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(wide - golden))
        allowed = expected["atol"] + expected["rtol"] * np.abs(golden)
    passed = same | ((error <= allowed) & np.isfinite(golden))
    return float(np.nan_to_num(error, nan=np.inf).max()), bool(passed.all())
