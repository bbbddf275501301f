"""The packed stream file: named arrays one after the other, ready to be mapped.

The layout is that of safetensors: 8 bytes little-endian length, a JSON header with
dtype, shape and place of each tensor, raw little-endian data. Any language reads it in
a few lines, a phone without unpacking, and arrays are memory-mapped here. The header's
metadata holds the sha256 of all arrays and of the other metadata (`contract.digest`).
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from tflite_odl import files
from tflite_odl.contract.digest import FIELD, digest
from tflite_odl.errors import DataError

MOST_HEADER_BYTES = 2**26
DTYPES = {"U8": np.uint8, "I32": np.int32, "F32": np.float32}
# What reading a header of any content can raise.
_MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def write(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]
) -> None:
    """Writes the file whole or not at all, with its checksum.

    Raises:
      DataError: it cannot be written.
    """
    path = pathlib.Path(path)
    plain = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    header = {**about, FIELD: digest(about, plain)}
    with files.told(DataError, f"cannot write {files.shown(path)}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.clean(path.parent)
        with files.staged(path, b"") as fresh:
            mode = fresh.stat().st_mode
            try:
                safetensors.numpy.save_file(plain, fresh, header)
            except safetensors.SafetensorError as error:
                raise OSError(str(error)) from error
            os.chmod(fresh, mode)  # safetensors lets its owner alone read it
            os.replace(fresh, path)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays, memory-mapped, and what the header says about them.

    The whole file is read once, for its checksum.

    Raises:
      DataError: the file is no packed stream, is damaged, or has no checksum.
    """
    path = pathlib.Path(path)
    try:
        arrays, about = _map_all(path)
        found = digest(about, arrays)
    except _MALFORMED as error:
        raise DataError(f"{path} is no packed stream: {error!r}") from error
    expected = about.pop(FIELD, None)
    if expected is None:
        raise DataError(f"{path} has no checksum: an older version wrote it")
    if found != expected:
        raise DataError(f"{path} is damaged: its sha256 does not fit its content")
    return arrays, about


def _map_all(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with files.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MOST_HEADER_BYTES):
            raise ValueError(f"it is cut: {size} bytes, the header has {length}")
        header = json.loads(file.read(length))
    about = dict(header.pop("__metadata__", {}))
    if not all(type(value) is str for value in about.values()):
        raise ValueError("its metadata are no texts")
    arrays = {n: _map(path, 8 + length, size, t) for n, t in header.items()}
    return arrays, about


def _map(
    path: pathlib.Path, begin: int, size: int, about: Mapping[str, Any]
) -> np.ndarray:
    dtype, shape = np.dtype(DTYPES[about["dtype"]]), tuple(about["shape"])
    start, end = (begin + place for place in about["data_offsets"])
    if min(shape, default=1) < 0 or not begin <= start <= end <= size:
        raise ValueError(f"a tensor {shape} at {start} to {end} of {size} bytes")
    if end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - start} bytes for a tensor {shape} of {dtype}")
    if start == end:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype.newbyteorder("<"), "r", start, shape)
