"""Rows as an app hands them over: any number of them, each input by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tflite_odl.contract import Signature
from tflite_odl.errors import ContractError

Arrays = dict[str, np.ndarray]


def together(signature: str, inputs: Mapping[str, Any]) -> Arrays:
    """Returns the inputs as arrays of equally many rows; raises ContractError else."""
    arrays = {name: _array(name, value) for name, value in inputs.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ContractError(f"signature {signature!r}: rows differ, {lengths}")
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
    """Returns the inputs with missing rows as zeros, `count` and `weight` filled in.

    Names and shapes that are wrong in another way are left for the contract to refuse.
    """
    known = [n for n in inputs if n in signature.input_names and n != "count"]
    arrays = together(signature.name, {name: inputs[name] for name in known})
    rows = length(arrays)
    if arrays and "weight" in signature.input_names:
        arrays.setdefault("weight", np.ones(rows, np.float32))
    filled = {n: _pad(v, signature.input(n).shape) for n, v in arrays.items()}
    if arrays and "count" in signature.input_names:
        filled["count"] = _count(inputs.get("count"), rows)
    return {**inputs, **filled}


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ContractError(f"{name} is no array: {error}") from error
    if not array.ndim:
        raise ContractError(f"{name} needs rows, got the single value {value!r}")
    return array


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
