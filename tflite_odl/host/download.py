"""The student as an app downloads it: its kernels in as few bits as they need.

LiteRT computes with no kernel of one bit: an installed file has whole bytes. The
download is that file without these bytes, deflated, and beside it their levels, packed;
`unpack` puts the file together again, byte for byte. It is a packed stream file (see
`streams.packed`) of two U8 tensors:

- `rest`: the file without its kernels, in zlib's format.
- `bits`: of each kernel, from a new byte on, its levels one after the other, the lowest
  bit first: of 1 bit, 1 is +1 and 0 is -1; of more, two's complement.

Its fact `kernels` is a JSON list of [offset in the file, count, bits], in the order of
the file; `file_sha256` is the installed file's.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.streams import packed

Kernel = tuple[int, int, int]


def bits_of(levels: np.ndarray) -> int:
    """Returns the fewest bits that tell int8 levels apart."""
    if (np.abs(levels) == 1).all():
        return 1
    most = int(np.abs(levels.astype(np.int32)).max(initial=1))
    return most.bit_length() + 1


def pack(
    model: bytes, places: Sequence[tuple[int, int]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns (tensors, facts) of the download.

    Args:
      model: the file as it is installed.
      places: (offset, count) of each kernel of int8 levels, in the order of the file.
    """
    rest, bits, kernels, end = [], [], [], 0
    for offset, count in places:
        levels = np.frombuffer(model, np.int8, count, offset)
        width = bits_of(levels)
        rest.append(model[end:offset])
        bits.append(to_bits(levels, width))
        kernels.append((offset, count, width))
        end = offset + count
    rest.append(model[end:])
    deflated = zlib.compress(b"".join(rest), 9)
    arrays = {
        "rest": np.frombuffer(deflated, np.uint8),
        "bits": np.concatenate([np.zeros(0, np.uint8), *bits]),
    }
    digest = hashlib.sha256(model).hexdigest()
    return arrays, {"kernels": json.dumps(kernels), "file_sha256": digest}


def unpack(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str]) -> bytes:
    """Returns the file as it is installed.

    Raises:
      DataError: it is no download, or what comes out is not the file that went in.
    """
    try:
        rest = zlib.decompress(arrays["rest"].tobytes())
        bits, parts, begin, end = arrays["bits"], [], 0, 0
        for offset, count, width in json.loads(facts["kernels"]):
            size = -(-count * width // 8)
            cut = offset - sum(map(len, parts))
            levels = from_bits(bits[begin : begin + size], count, width)
            parts += [rest[end : end + cut], levels.tobytes()]
            begin, end = begin + size, end + cut
        model = b"".join([*parts, rest[end:]])
        expected = facts["file_sha256"]
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise DataError(f"not a packed student: {error!r}") from error
    if hashlib.sha256(model).hexdigest() != expected:
        raise DataError("the packed student is damaged: its sha256 does not fit")
    return model


def install(path: str | os.PathLike, out: str | os.PathLike) -> None:
    """Unpacks a downloaded student into a `.tflite`, written whole or not at all.

    Raises:
      DataError: the download is damaged, or is none.
    """
    model, out = unpack(*packed.read(path)), pathlib.Path(out)
    fresh = out.with_name(out.name + ".writing")
    fresh.write_bytes(model)
    os.replace(fresh, out)


def to_bits(levels: np.ndarray, width: int) -> np.ndarray:
    """Returns int8 levels in so few bits each, the lowest first; [n] uint8."""
    if width == 1:
        return np.packbits(levels > 0, bitorder="little")
    kept = levels.view(np.uint8)[:, None] >> np.arange(width, dtype=np.uint8) & 1
    return np.packbits(kept.ravel(), bitorder="little")


def from_bits(bits: np.ndarray, count: int, width: int) -> np.ndarray:
    """Returns [count] int8, the levels that `to_bits` was given."""
    flat = np.unpackbits(bits, count=count * width, bitorder="little")
    if width == 1:
        return 2 * flat.astype(np.int8) - np.int8(1)
    weights = 2 ** np.arange(width, dtype=np.int32)
    weights[-1] *= -1
    return (flat.reshape(count, width) @ weights).astype(np.int8)
