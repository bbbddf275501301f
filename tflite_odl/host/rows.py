"""Rows as an app hands them over: any number of them, each input by its name.

What an input is the manifest says, by its role and its fill; nothing goes by names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl.contract import Signature, TensorSpec
from tflite_odl.contract.names import COUNT, FEATURE, LABEL
from tflite_odl.errors import ContractError
from tflite_odl.host import labels

Arrays = dict[str, np.ndarray]


def named(
    signature: Signature, inputs: Mapping[str, Any], x: Any = None, y: Any = None
) -> dict[str, Any]:
    """Returns the inputs by name.

    Args:
      signature: says which input has which role.
      inputs: by name.
      x: the input of this name if there is one, else the only feature; or None.
      y: the input of this name if there is one, else the only label; or None.

    Raises:
      ContractError: no input of that name, nor exactly one of that role.
    """
    found = dict(inputs)
    for name, role, value in (("x", FEATURE, x), ("y", LABEL, y)):
        if value is not None:
            found[_only(signature, name, role)] = value
    return found


def _only(signature: Signature, name: str, role: str) -> str:
    candidates = signature.inputs_of(role)
    if name in signature.input_names:
        return name
    if len(candidates) != 1:
        raise ContractError(
            f"signature {signature.name!r} has {list(candidates)} of role {role!r}, "
            f"not one that {name} could be: give them by their names"
        )
    return candidates[0]


def together(signature: Signature, inputs: Mapping[str, Any]) -> Arrays:
    """Returns the inputs as arrays of equally many rows, labels in their dtype.

    Raises:
      ContractError: an input is no array of rows, or they are not equally many.
    """
    arrays = {name: _array(signature, name, v) for name, v in inputs.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ContractError(f"signature {signature.name!r}: rows differ, {lengths}")
    return arrays


def slices(arrays: Arrays, rows: int) -> list[Arrays]:
    """Returns the arrays cut into parts of at most so many rows."""
    return [
        {name: array[start : start + rows] for name, array in arrays.items()}
        for start in range(0, length(arrays), rows)
    ]


def length(arrays: Arrays) -> int:
    return len(next(iter(arrays.values()))) if arrays else 0


def padded(signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a whole batch: what is left out is filled in, rows are padded with zeros.

    An input that has a `fill` and is not given gets it in every row; the input of role
    `count` gets the number of rows unless it is given. Names and shapes that are wrong
    in another way are left for the contract to refuse.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    counts = signature.inputs_of(COUNT)
    known = {n: v for n, v in inputs.items() if n in specs and n not in counts}
    arrays = together(signature, known)
    if not any(specs[name].role == FEATURE for name in arrays):
        return dict(inputs)
    rows = length(arrays)
    for name, spec in specs.items():
        if name not in arrays and name not in counts and spec.fill is not None:
            arrays[name] = np.full((rows, *spec.shape[1:]), spec.fill, spec.dtype)
    filled = {name: _pad(array, specs[name].shape) for name, array in arrays.items()}
    for name in counts:
        filled[name] = _count(inputs.get(name), rows)
    return {**inputs, **filled}


def _array(signature: Signature, name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ContractError(f"{name} is no array: {error}") from error
    if not array.ndim:
        raise ContractError(f"{name} needs rows, got the single value {value!r}")
    spec = _find(signature, name)
    return labels.cast(spec, value) if spec and spec.role == LABEL else array


def _find(signature: Signature, name: str) -> TensorSpec | None:
    return next((spec for spec in signature.inputs if spec.name == name), None)


def _pad(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape[1:] != shape[1:] or not 0 < len(array) < shape[0]:
        return array
    missing = np.zeros((shape[0] - len(array), *shape[1:]), array.dtype)
    return np.concatenate([array, missing])


def _count(given: Any, rows: int) -> np.ndarray:
    """Returns `count`; the padding behind the rows must never pass for data."""
    if given is None:
        return np.array([rows], np.int32)
    count = np.asarray(given)
    whole = count.dtype.kind in "iu" and count.size == 1
    if whole and not 0 <= count.item() <= rows:
        raise ContractError(f"count is {count.item()}, needs 0 to the {rows} rows")
    return count
