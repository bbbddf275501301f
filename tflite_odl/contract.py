"""The signature contract: the only module that export and host both import.

Names of signatures, the roles of state tensors, and the manifest that describes an
artifact. NumPy and the standard library only: this runs wherever an artifact runs.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tflite_odl.errors import ArtifactError, ContractError

VERSION = 1

TRAIN, INFER, EVALUATE = "train", "infer", "evaluate"
CONFIGURE, SAVE, RESTORE = "configure", "save", "restore"
SIGNATURES = (TRAIN, INFER, EVALUATE, CONFIGURE, SAVE, RESTORE)

MODEL_FILE, MANIFEST_FILE, GOLDENS_FOLDER = "model.tflite", "manifest.json", "goldens"
REJECTED_FILE = "REJECTED.txt"
METADATA_NAME = "tflite_odl.manifest"

DTYPES = ("float32", "int32", "uint8", "int8", "bool")
# Of tensors of the state, and of inputs of signatures.
ROLES = ("weight", "slot", "buffer", "counter", "random", "hyperparameter")
INPUT_ROLES = ("feature", "label", "count", "row_weight")
# How an output of one call adds up over calls: to a sum, or to a mean by `count`.
TOTALS = ("sum", "mean")
UNLABELLED = -1

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a signature or of the state: fixed shape, rank >= 1.

    Attributes:
      role: one of `ROLES` for a state tensor, of `INPUT_ROLES` for an input.
      unit, about: for people.
      fill: of an input, the value of rows that the caller leaves out; None: it must be
        given.
      low, high: the range of a hyper-parameter, both ends included; None: no end.
      total: of an output, one of `TOTALS`; empty: it says nothing of other calls.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str = ""
    unit: str = ""
    about: str = ""
    fill: float | None = None
    low: float | None = None
    high: float | None = None
    total: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if not _NAME.match(self.name):
            raise ContractError(
                f"tensor name {self.name!r}: letters, digits and '_' are allowed, "
                "beginning with a letter"
            )
        if self.dtype not in DTYPES:
            raise ContractError(
                f"tensor {self.name!r} has dtype {self.dtype}, needs one of {DTYPES}"
            )
        if not self.shape or any(n < 1 for n in self.shape):
            raise ContractError(
                f"tensor {self.name!r} has shape {list(self.shape)}, needs rank >= 1 "
                "and fixed sizes >= 1"
            )
        for field, known in (("role", ROLES + INPUT_ROLES), ("total", TOTALS)):
            value = getattr(self, field)
            if value and value not in known:
                raise ContractError(
                    f"tensor {self.name!r} has {field} {value!r}, needs one of {known}"
                )

    @property
    def bytes(self) -> int:
        """Size of the tensor's data."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)} {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One entry point of an artifact: its inputs and outputs, in a fixed order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ContractError(f"signature {self.name!r} has no input: Java needs one")
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            check_unique(f"{kind}s of signature {self.name!r}", [s.name for s in specs])

    def check_inputs(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the inputs as C-contiguous arrays in the signature's order.

        Nothing is cast or reshaped: a wrong dtype is a mistake, not a preference.

        Raises:
          ContractError: a name is missing or unknown, a dtype or a shape differs.
        """
        self.check_names(arrays)
        return {spec.name: self._check(spec, arrays[spec.name]) for spec in self.inputs}

    def check_names(self, names: Collection[str]) -> None:
        """Raises ContractError unless the names are those of the inputs."""
        unknown = [name for name in names if name not in self.input_names]
        missing = [name for name in self.input_names if name not in names]
        if unknown or missing:
            raise ContractError(
                f"signature {self.name!r} needs inputs {list(self.input_names)}, "
                f"missing {missing}, unknown {unknown}"
            )

    def _check(self, spec: TensorSpec, value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
            raise ContractError(
                f"signature {self.name!r} needs {spec}, "
                f"got {list(array.shape)} {array.dtype}"
            )
        return np.ascontiguousarray(array)

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)

    def input(self, name: str) -> TensorSpec:
        return _by_name(self.inputs, name, f"signature {self.name!r}")

    def output(self, name: str) -> TensorSpec:
        return _by_name(self.outputs, name, f"signature {self.name!r}")


def check_unique(what: str, names: list[str]) -> None:
    """Raises ContractError naming the names that occur more than once."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(f"{what} must be unique, these occur twice: {twice}")


def _by_name(specs: tuple[TensorSpec, ...], name: str, where: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise ContractError(f"{where} has no {name!r}, it has {[s.name for s in specs]}")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself, inside the model and beside it.

    Attributes:
      artifact_id: sha256 of the model before this manifest was embedded in it.
      method: {"name": ..., "config": {...}}, the whole configuration.
      signatures: by name, in the order they were exported.
      state: every tensor that `save` returns and `restore` takes, with its role.
      classes: class names, empty when the outputs have none.
      preprocessing: what the graph does to `x` before the first layer; if there are
        several inputs, {input: what}.
      plan: lowering chosen for each layer.
      quantization: recipe name and details, {"recipe": "none"} for float.
      ops: {signature: {op: count}}.
      sizes: {part: bytes} of the model file.
      memory: {signature: {part: bytes}}, peak.
      versions: what made it, and the oldest runtime it was proven on.
      proofs: the parity gate's figures.
      files: {path: sha256} of every shipped file; empty in the embedded copy.
      contract_version: the contract this artifact follows.
    """

    artifact_id: str
    method: dict[str, Any]
    signatures: dict[str, Signature]
    state: tuple[TensorSpec, ...]
    classes: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = dataclasses.field(default_factory=dict)
    plan: dict[str, str] = dataclasses.field(default_factory=dict)
    quantization: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"recipe": "none"}
    )
    ops: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    memory: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    proofs: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    contract_version: int = VERSION

    def __post_init__(self) -> None:
        check_unique("state tensors", [spec.name for spec in self.state])

    def signature(self, name: str) -> Signature:
        """Returns a signature; raises ContractError naming those there are."""
        if name not in self.signatures:
            raise ContractError(
                f"no signature {name!r}, the artifact has {list(self.signatures)}"
            )
        return self.signatures[name]

    def to_json(self, indent: int | None = None) -> str:
        content = dataclasses.asdict(self)
        content["signatures"] = {
            name: {
                "inputs": [_spec_to_json(s) for s in signature.inputs],
                "outputs": [_spec_to_json(s) for s in signature.outputs],
            }
            for name, signature in self.signatures.items()
        }
        content["state"] = [_spec_to_json(spec) for spec in self.state]
        return json.dumps(content, indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Parses a manifest.

        Raises:
          ArtifactError: not JSON, or fields are missing.
          ContractError: the contract is newer than this package.
        """
        try:
            content = json.loads(text)
            version = int(content["contract_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"not an artifact's manifest: {error!r}") from error
        if version > VERSION:
            raise ContractError(
                f"the artifact follows contract {version}, this package knows "
                f"{VERSION} and below: update tflite_odl"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        try:
            content = {key: value for key, value in content.items() if key in known}
            content["signatures"] = {
                name: Signature(
                    name,
                    tuple(_spec_from_json(s) for s in value["inputs"]),
                    tuple(_spec_from_json(s) for s in value["outputs"]),
                )
                for name, value in content["signatures"].items()
            }
            content["state"] = tuple(_spec_from_json(s) for s in content["state"])
            content["classes"] = tuple(content.get("classes", ()))
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"the manifest is incomplete: {error!r}") from error


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    content = {
        k: v for k, v in dataclasses.asdict(spec).items() if v is not None and v != ""
    }
    return {**content, "shape": list(spec.shape)}


def _spec_from_json(content: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(**content)
