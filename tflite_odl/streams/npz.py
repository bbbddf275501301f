"""Recordings in `.npz` files, unpacked once into a packed stream file.

Three layouts are known, by their keys:

1. rows:   x_train, x_test [N, ...] uint8, float32 or int32; y_train, y_test [N]
           integers, or [N, C] floats; class_names [C] text and track_train [N] if
           there are any.
2. JPEG:   jpeg_train, jpeg_test uint8, files end to end; offsets_train, offsets_test
           [N + 1]; y_train, y_test [N]; class_names. Decoded with Pillow to RGB uint8.
3. phone:  phone_signal [N, 6] int16 and scale [6] (SI units); phone_y, phone_subject,
           phone_execution [N]; activity_names. Cut into windows of 128 rows every 32
           that stay within one activity of one execution, float32 [128, 6]; people 1
           to 18 train, the others test; a group is an execution.
"""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from tflite_odl import files
from tflite_odl.errors import DataError
from tflite_odl.streams import packed
from tflite_odl.streams.dataset import Dataset, Split

VERSION = 2
WINDOW, HOP, LAST_TRAINING_PERSON = 128, 32, 18
ROWS = ("x_train", "y_train", "x_test", "y_test")
JPEG = ("jpeg_train", "offsets_train", "y_train", "jpeg_test", "offsets_test", "y_test")
PHONE = ("phone_signal", "scale", "phone_y", "phone_subject", "phone_execution")

# What unpacking a file of any content can raise: of zip, of npy, of JPEG, of NumPy.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

Arrays = Mapping[str, np.ndarray]


def load(
    path: str | os.PathLike, cache_dir: str | os.PathLike | None = None
) -> Dataset:
    """Opens a recording; the first time it is unpacked into the cache.

    Raises:
      DataError: no such file, not an npz, or keys of no known layout.
    """
    path = pathlib.Path(path)
    files.check_regular(path, DataError)
    place = _cache(cache_dir) / f"{path.stem}-{_content(path)}.v{VERSION}.stream"
    try:
        arrays, about = packed.read(place)
    except DataError:
        unpacked, about = _unpack(path)
        packed.write(place, unpacked, about)
        arrays, about = packed.read(place)
    groups = {part: arrays.get(f"group_{part}") for part in ("train", "test")}
    try:
        splits = {
            part: Split(arrays[f"x_{part}"], arrays[f"y_{part}"], groups[part])
            for part in groups
        }
        classes = tuple(about["classes"].split("\n"))
        scale, offset = float(about["scale"]), float(about["offset"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{place} is no unpacked recording: {error!r}") from error
    return Dataset(path.stem, classes, **splits, scale=scale, offset=offset)


def _cache(cache_dir: str | os.PathLike | None) -> pathlib.Path:
    default = os.environ.get("TFLITE_ODL_CACHE") or "~/.cache/tflite_odl"
    return pathlib.Path(cache_dir or default).expanduser()


def _content(path: pathlib.Path) -> str:
    total = hashlib.sha256()
    with files.told(DataError, f"cannot read {files.shown(path)}"):
        with files.opened(path) as file:
            while part := file.read(2**20):
                total.update(part)
    return total.hexdigest()[:16]


def _unpack(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except _MALFORMED as error:
        raise DataError(f"{path} is no npz of plain arrays: {error}") from error
    for keys, layout in ((JPEG, _jpeg), (PHONE, _phone), (ROWS, _rows)):
        if all(key in arrays for key in keys):
            try:
                return layout(arrays)
            except DataError:
                raise
            except _MALFORMED as error:
                raise DataError(
                    f"{path}: its arrays do not fit each other: {error!r}"
                ) from error
    raise DataError(
        f"{path} has keys {sorted(arrays)}; "
        f"known layouts need {ROWS}, {JPEG} or {PHONE}"
    )


def _rows(arrays: Arrays) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    found = {key: arrays[key] for key in ROWS}
    for key in ("x_train", "x_test"):
        if found[key].dtype not in (np.uint8, np.float32, np.int32):
            raise DataError(
                f"{key} is {found[key].dtype}, needs uint8, float32 or int32"
            )
    if "track_train" in arrays:
        found["group_train"] = arrays["track_train"].astype(np.int32)
    return _finish(found, arrays, found["x_train"].dtype == np.uint8)


def _jpeg(arrays: Arrays) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    found = {key: arrays[key] for key in ("y_train", "y_test")}
    for part in ("train", "test"):
        found[f"x_{part}"] = _decode(arrays[f"jpeg_{part}"], arrays[f"offsets_{part}"])
    return _finish(found, arrays, True)


def _decode(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("JPEG recordings need Pillow: pip install pillow") from error
    content = data.tobytes()
    files = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    images = (Image.open(io.BytesIO(content[a:b])).convert("RGB") for a, b in files)
    return np.stack([np.asarray(image, np.uint8) for image in images])


def _phone(arrays: Arrays) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    signal = arrays["phone_signal"].astype(np.float32)
    signal *= arrays["scale"].astype(np.float32)
    names = ("phone_y", "phone_subject", "phone_execution")
    label, person, execution = (arrays[name].astype(np.int64) for name in names)
    start = np.arange(0, len(signal) - WINDOW + 1, HOP)
    last = start + WINDOW - 1
    whole = np.ones(len(start), bool)
    session = _runs(person, execution)
    segment = _runs(session, label)
    whole &= segment[start] == segment[last]
    start = start[whole]
    windows = np.stack([signal[s : s + WINDOW] for s in start])
    training = person[start] <= LAST_TRAINING_PERSON
    found = {}
    for part, chosen in (("train", training), ("test", ~training)):
        found[f"x_{part}"] = windows[chosen]
        found[f"y_{part}"] = label[start][chosen]
        found[f"group_{part}"] = session[start][chosen].astype(np.int32)
    return _finish(found, {"class_names": arrays["activity_names"]}, False)


def _runs(*parts: np.ndarray) -> np.ndarray:
    """Returns [N] int64: the number of the run of rows in which no part changes."""
    change = np.zeros(len(parts[0]), bool)
    for part in parts:
        change[1:] |= part[1:] != part[:-1]
    return np.cumsum(change)


def _finish(
    found: dict[str, np.ndarray], arrays: Arrays, pixels: bool
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns (arrays, about) as the packed file holds them."""
    for part in ("y_train", "y_test"):
        found[part] = _labels(part, found[part])
    count = max(_classes(found[part]) for part in ("y_train", "y_test"))
    given = arrays.get("class_names")
    classes = map(str, range(count) if given is None else given.tolist())
    scale, offset = (1 / 127.5, -1.0) if pixels else _standard(found["x_train"])
    if found["x_train"].dtype == np.int32:  # places in tables, which have no scale
        scale, offset = 1.0, 0.0
    about = {
        "classes": "\n".join(classes),
        "scale": repr(scale),
        "offset": repr(offset),
    }
    return found, about


def _labels(name: str, y: np.ndarray) -> np.ndarray:
    if y.dtype.kind in "iu" and y.ndim == 1:
        return y.astype(np.int32)
    if y.dtype.kind == "f" and y.ndim == 2:
        return y.astype(np.float32)
    raise DataError(
        f"{name} is {list(y.shape)} {y.dtype}, needs integers [N] or floats [N, C]"
    )


def _classes(y: np.ndarray) -> int:
    return y.shape[1] if y.ndim == 2 else int(y.max(initial=0)) + 1


def _standard(x: np.ndarray) -> tuple[float, float]:
    """Returns scale and offset that give x mean 0 and deviation 1."""
    mean, deviation = float(x.mean()), float(x.std()) or 1.0
    return 1 / deviation, -mean / deviation
