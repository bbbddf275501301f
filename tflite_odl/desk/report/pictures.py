"""Strips of the images that a buffer holds, as PNG inside a page.

They are a user's own pictures: a report has them only where they are asked for.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from tflite_odl.contract import TensorSpec

# Images of a strip, evenly over the buffer.
MOST = 64
COLUMNS = 16
# PNG's kinds of colour: grey, and red, green and blue.
COLOURS = {1: 0, 3: 2}


def strips(
    state: Mapping[str, np.ndarray], specs: Sequence[TensorSpec]
) -> dict[str, str]:
    """Returns {tensor: data URI} of what has images: uint8 [N, H, W, 1 or 3] of a
    buffer, places that were never filled left out."""
    found = {}
    for spec in specs:
        images = state[spec.name]
        if spec.role != "buffer" or images.dtype != np.uint8 or images.ndim != 4:
            continue
        filled = images[images.any(axis=(1, 2, 3))]
        if images.shape[-1] in COLOURS and len(filled):
            png = base64.b64encode(_png(_tiled(filled))).decode()
            found[spec.name] = f"data:image/png;base64,{png}"
    return found


def _tiled(images: np.ndarray) -> np.ndarray:
    """Returns [rows H, columns W, C], the images side by side."""
    chosen = np.unique(np.linspace(0, len(images) - 1, MOST).round().astype(int))
    images = images[chosen]
    _, h, w, c = images.shape
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    tiles = np.zeros((rows * columns, h, w, c), np.uint8)
    tiles[: len(images)] = images
    tiles = tiles.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(rows * h, columns * w, c)


def _png(image: np.ndarray) -> bytes:
    """Returns an image [H, W, C] as PNG (ISO/IEC 15948), rows unfiltered."""
    height, width, channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
