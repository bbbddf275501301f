"""The packed stream file: named arrays one after the other, ready to be mapped.

The layout is that of safetensors: 8 bytes little-endian length, a JSON header with
dtype, shape and place of each tensor, raw little-endian data. Any language reads it in
a few lines, a phone without unpacking, and arrays are memory-mapped here.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from tflite_odl.errors import DataError

DTYPES = {"U8": np.uint8, "I32": np.int32, "F32": np.float32}


def write(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]
) -> None:
    """Writes the file whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.writing")
    plain = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    safetensors.numpy.save_file(plain, fresh, dict(about))
    os.replace(fresh, path)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays, memory-mapped, and what the header says about them.

    Raises:
      DataError: the file is no packed stream, or is cut.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        about = header.pop("__metadata__", {})
        size, begin = path.stat().st_size, 8 + length
        if size != begin + max(t["data_offsets"][1] for t in header.values()):
            raise DataError(f"{path} is cut: {size} bytes")
        return {n: _map(path, begin, t) for n, t in header.items()}, about
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is no packed stream: {error!r}") from error


def _map(path: pathlib.Path, begin: int, about: dict) -> np.ndarray:
    place = begin + about["data_offsets"][0]
    return np.memmap(path, DTYPES[about["dtype"]], "r", place, tuple(about["shape"]))
