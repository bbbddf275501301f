"""`Manifest`: what an artifact says of itself, and how JSON holds it."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any

from tflite_odl.contract import names, version1
from tflite_odl.contract.specs import Signature, TensorSpec, check_unique
from tflite_odl.errors import ArtifactError, ContractError


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
      serving: where the serving twin's weights lie and what they are made of, see
        `host.bake`; empty: there is none.
      ops: {signature: {op: count}}.
      sizes: {part: bytes} of the model file.
      memory: {signature: {part: bytes}}, peak.
      versions: what made it, and the oldest runtime it was proven on.
      proofs: the parity gate's figures.
      files: {path: sha256} of every shipped file; empty in the embedded copy.
      delivery: {model file: {"bytes", "deflate", "zstd"}}, its size as it is and
        compressed; empty in the embedded copy.
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
    serving: dict[str, Any] = dataclasses.field(default_factory=dict)
    ops: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    memory: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    proofs: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    delivery: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    contract_version: int = names.VERSION

    def __post_init__(self) -> None:
        check_unique("state tensors", [spec.name for spec in self.state])
        if names.SAVE in self.signatures:
            self._check_state("returns", self.signatures[names.SAVE].outputs)
        if names.RESTORE in self.signatures:
            self._check_state("takes", self.signatures[names.RESTORE].inputs)

    def _check_state(self, verb: str, specs: tuple[TensorSpec, ...]) -> None:
        found, state = set(map(str, specs)), set(map(str, self.state))
        if found != state:
            raise ContractError(
                f"the state and what its signature {verb} differ: "
                f"{sorted(found ^ state)}"
            )

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
        """Parses a manifest; one of version 1 gets the roles its names stood for.

        Raises:
          ArtifactError: not JSON, or fields are missing or of another kind.
          ContractError: the contract is newer than this package, or a tensor or a
            signature breaks it.
        """
        content = _parse(text)
        hints = typing.get_type_hints(cls)
        content = {key: value for key, value in content.items() if key in hints}
        try:
            content["signatures"] = {
                name: Signature(
                    name,
                    tuple(_spec_from_json(s) for s in value["inputs"]),
                    tuple(_spec_from_json(s) for s in value["outputs"]),
                )
                for name, value in content["signatures"].items()
            }
            content["state"] = tuple(_spec_from_json(s) for s in content["state"])
            for key in content.keys() - {"signatures", "state"}:
                _check_kind(key, content[key], hints[key])
            content["classes"] = tuple(content.get("classes", ()))
            if content["contract_version"] == 1:
                content["signatures"] = version1.with_roles(content["signatures"])
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"the manifest is incomplete: {error!r}") from error


def _parse(text: str | bytes) -> dict[str, Any]:
    """Returns the JSON object; its version is one that this package knows."""
    try:
        content = json.loads(text, parse_constant=_refuse)
        version = content["contract_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"not an artifact's manifest: {error!r}") from error
    if type(version) is not int or version < 1:
        raise ArtifactError(f"not an artifact's manifest: contract {version!r:.40}")
    if version > names.VERSION:
        raise ContractError(
            f"the artifact follows contract {version}, this package knows "
            f"{names.VERSION} and below: update tflite_odl"
        )
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _check_kind(key: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise ArtifactError(f"the manifest's {key} is no {hint}: {value!r:.80}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a field's type; tuples are arrays there."""
    if hint is Any:
        return True
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if kind is dict:
        return type(value) is dict and all(_fits(v, inner[1]) for v in value.values())
    if kind is tuple:
        return type(value) is list and all(_fits(v, inner[0]) for v in value)
    return type(value) is hint


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    content = {
        k: v for k, v in dataclasses.asdict(spec).items() if v is not None and v != ""
    }
    if spec.fill is not None and not math.isfinite(spec.fill):
        content["fill"] = "NaN" if math.isnan(spec.fill) else spec.fill
    return {**content, "shape": list(spec.shape)}


def _spec_from_json(content: Mapping[str, Any]) -> TensorSpec:
    fill = math.nan if content.get("fill") == "NaN" else content.get("fill")
    return TensorSpec(**{**content, "fill": fill})
