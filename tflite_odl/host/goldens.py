"""Repeats an artifact's golden calls on this machine's runtime."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tflite_odl import contract, files
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ArtifactError, OdlError
from tflite_odl.host import paths
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import Runtime

INDEX_FILE = "index.json"
MOST_INDEX_BYTES = 2**24

# What an index of any content can raise.
_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, RecursionError)


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
      ArtifactError: the artifact has no goldens, or one of their files is damaged or
        not in their folder.
      ContractError: a call does not fit its signature.
    """
    with _opened(artifact) as (folder, index, specs):
        repeat = _Repeat(runtime, folder, specs)
        return [
            result
            for number, call in enumerate(index["steps"])
            for result in repeat(number, call)
        ]


def inputs(artifact: Artifact, signature: str) -> list[dict[str, np.ndarray]]:
    """Returns the inputs of each golden call of a signature, complete.

    Raises:
      ArtifactError: as `check`.
    """
    with _opened(artifact) as (folder, index, specs):
        return [
            {name: _tensor(folder, f, specs[f]) for name, f in call["inputs"].items()}
            for call in index["steps"]
            if call["signature"] == signature
        ]


@contextlib.contextmanager
def _opened(
    artifact: Artifact,
) -> Iterator[tuple[pathlib.Path, Mapping[str, Any], dict[str, TensorSpec]]]:
    """Gives the goldens' folder, their index, and what each of their files holds."""
    folder = artifact.path / contract.GOLDENS_FOLDER
    content = files.read(folder / INDEX_FILE, ArtifactError, MOST_INDEX_BYTES)
    try:
        index = json.loads(content)
        if not index["steps"]:
            raise ArtifactError(f"{folder / INDEX_FILE} has no calls: nothing is shown")
        yield folder, index, {n: _spec(about) for n, about in index["tensors"].items()}
    except OdlError:
        raise
    except _MALFORMED as error:
        raise ArtifactError(f"{folder / INDEX_FILE} is malformed: {error!r}") from error


class _Repeat:
    """Makes calls on one runtime, whose present state is the shipped one."""

    def __init__(
        self, runtime: Runtime, folder: pathlib.Path, specs: Mapping[str, TensorSpec]
    ) -> None:
        self.runtime, self.folder, self.specs = runtime, folder, specs
        self.shipped = runtime.save()

    def __call__(self, number: int, call: Mapping[str, Any]) -> list[Result]:
        """Returns the result of each output of one call."""
        if "shipped_state_with" in call:
            self._restore(self._read(call["shipped_state_with"]))
        signature = self.runtime.manifest.signature(call["signature"])
        inputs = signature.check_inputs(self._read(call["inputs"]))
        goldens = self._read({n: about["file"] for n, about in call["outputs"].items()})
        limits = {
            signature.output(name).name: _Limit.read(about)
            for name, about in call["outputs"].items()
        }
        outputs = self.runtime.run(signature.name, inputs)
        results = []
        for name in [*goldens, *(outputs.keys() - goldens.keys())]:
            error, passed = math.inf, False
            reason = "the goldens, or the runtime, do not know it"
            if name in goldens and name in outputs:
                reason = limits[name].reason
                error, passed = _compare(outputs[name], goldens[name], limits[name])
            about = (number, signature.name, name, error, passed)
            results.append(Result(*about, reason))
        return results

    def _restore(self, changes: Mapping[str, np.ndarray]) -> None:
        restore = self.runtime.manifest.signature(contract.RESTORE)
        state = restore.check_inputs({**self.shipped, **changes})
        self.runtime.run(contract.RESTORE, state)

    def _read(self, names: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Returns {tensor name: value} of {tensor name: file}."""
        return {
            name: _tensor(self.folder, file, self.specs[file])
            for name, file in names.items()
        }


@dataclasses.dataclass(frozen=True)
class _Limit:
    rtol: float
    atol: float
    reason: str

    @classmethod
    def read(cls, about: Mapping[str, Any]) -> _Limit:
        numbers = [about[name] for name in ("rtol", "atol")]
        if not all(type(n) in (int, float) and 0 <= n < math.inf for n in numbers):
            raise TypeError(f"tolerances {numbers}")
        return cls(*numbers, str(about["reason"]))


def _spec(about: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec("golden", about["dtype"], about["shape"])


def _tensor(folder: pathlib.Path, file: str, spec: TensorSpec) -> np.ndarray:
    dtype, path = np.dtype(spec.dtype).newbyteorder("<"), paths.inside(folder, file)
    content = files.read(path, ArtifactError, spec.bytes)
    if len(content) != spec.bytes:
        raise ArtifactError(f"{path} is cut: {len(content)} bytes, needs {spec.bytes}")
    return np.frombuffer(content, dtype).astype(spec.dtype).reshape(spec.shape)


def _compare(
    value: np.ndarray, golden: np.ndarray, limit: _Limit
) -> tuple[float, bool]:
    """Returns the largest error and whether all are allowed; NaN equals NaN alone."""
    if value.dtype != golden.dtype or value.shape != golden.shape:
        return float("inf"), False
    wide, golden = value.astype(np.float64), golden.astype(np.float64)
    same = (wide == golden) | (np.isnan(wide) & np.isnan(golden))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(wide - golden))
        allowed = limit.atol + limit.rtol * np.abs(golden)
    passed = same | ((error <= allowed) & np.isfinite(golden))
    return float(np.nan_to_num(error, nan=np.inf).max()), bool(passed.all())
