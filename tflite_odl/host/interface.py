"""Holds a model's signatures against its manifest, before any runtime parses it."""

from __future__ import annotations

from collections.abc import Mapping

from tflite_odl import contract
from tflite_odl.contract import TensorSpec
from tflite_odl.errors import ArtifactError
from tflite_odl.host.tables import Tables

# Fields of the TFLite schema's tables, by their place in it.
_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY, _SIGNATURE_SUBGRAPH = 0, 1, 2, 4
_MAP_NAME, _MAP_TENSOR = 0, 1
_SUBGRAPH_TENSORS = 0
_TENSOR_SHAPE, _TENSOR_TYPE = 0, 1
_TYPES = {0: "float32", 2: "int32", 3: "uint8", 6: "bool", 9: "int8"}

Tensors = dict[str, str]


def signatures(model: bytes) -> dict[str, tuple[Tensors, Tensors]]:
    """Returns {signature: (inputs, outputs)}, each {name: "[2, 3] float32"}.

    Raises:
      ArtifactError: an offset or an index leads out of the file.
    """
    tables = Tables(model)
    root = tables.follow(0)
    found = {}
    for entry in tables.tables(root, _MODEL_SIGNATURES):
        number = tables.value(entry, _SIGNATURE_SUBGRAPH, 4)
        subgraph = tables.element(root, _MODEL_SUBGRAPHS, number)
        name = _name(tables, entry, _SIGNATURE_KEY)
        inputs = _tensors(tables, entry, _SIGNATURE_INPUTS, subgraph)
        found[name] = inputs, _tensors(tables, entry, _SIGNATURE_OUTPUTS, subgraph)
    return found


def check(model: bytes, manifest: contract.Manifest) -> None:
    """Compares signatures, their tensors' names, shapes and dtypes with the manifest.

    Raises:
      ArtifactError: naming the first tensor that differs, what was expected and found.
    """
    found = signatures(model)
    if set(found) != set(manifest.signatures):
        raise ArtifactError(
            f"the manifest has signatures {sorted(manifest.signatures)}, the model "
            f"{sorted(found)}"
        )
    for name, signature in manifest.signatures.items():
        inputs, outputs = found[name]
        _compare(f"input of {name!r}", signature.inputs, inputs)
        _compare(f"output of {name!r}", signature.outputs, outputs)


def _compare(
    what: str, specs: tuple[TensorSpec, ...], found: Mapping[str, str]
) -> None:
    expected = {spec.name: f"{list(spec.shape)} {spec.dtype}" for spec in specs}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            raise ArtifactError(
                f"{what}, tensor {name!r}: the manifest has "
                f"{expected.get(name, 'none')}, the model {found.get(name, 'none')}"
            )


def _tensors(tables: Tables, entry: int, side: int, subgraph: int) -> Tensors:
    found = {}
    for pair in tables.tables(entry, side):
        number = tables.value(pair, _MAP_TENSOR, 4)
        tensor = tables.element(subgraph, _SUBGRAPH_TENSORS, number)
        shape = list(tables.integers(tensor, _TENSOR_SHAPE))
        kind = tables.value(tensor, _TENSOR_TYPE, 1)
        dtype = _TYPES.get(kind, f"type {kind}")
        found[_name(tables, pair, _MAP_NAME)] = f"{shape} {dtype}"
    return found


def _name(tables: Tables, table: int, index: int) -> str:
    return tables.text(table, index).decode(errors="replace")
