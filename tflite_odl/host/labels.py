"""Labels as people hold them, cast to the artifact's dtype where that changes none."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_odl.contract import TensorSpec


def cast(spec: TensorSpec, value: Any) -> np.ndarray:
    """Returns labels in the dtype and rank of `spec` if that keeps every value.

    Integers of any width become int32, integers and float64 become float32; [B, 1]
    becomes [B]. Python has no float32: a list of floats is rounded. Labels that would
    change, such as fractions for int32, come back as they are, for the contract to
    refuse.

    Args:
      spec: of the label.
      value: [B, ...], an array or a list.
    """
    array = np.asarray(value)
    if array.ndim == len(spec.shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    wanted = np.dtype(spec.dtype)
    kinds = "iuf" if wanted.kind == "f" else "iu"
    if array.dtype == wanted or array.dtype.kind not in kinds:
        return array
    with np.errstate(over="ignore"):
        converted = array.astype(wanted)
    written_out = not isinstance(value, np.ndarray) and wanted.kind == "f"
    if written_out and np.array_equal(np.isfinite(converted), np.isfinite(array)):
        return converted
    same = np.array_equal(converted.astype(array.dtype), array, equal_nan=True)
    return converted if same and _in_range(array, wanted) else array


def _in_range(array: np.ndarray, wanted: np.dtype) -> bool:
    """Whether integers are none that wrap round on their way there and back."""
    if wanted.kind == "f" or not array.size:
        return True
    limits = np.iinfo(wanted)
    return limits.min <= int(array.min()) and int(array.max()) <= limits.max
