"""How large files are when they are delivered: as they are, and compressed."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping

# The strongest usual ones: a file is compressed once, and delivered many times.
DEFLATE_LEVEL, ZSTD_LEVEL = 9, 19


def sizes(files: Mapping[str, bytes]) -> dict[str, dict[str, int]]:
    """Returns {file: {"bytes", "deflate", "zstd"}}; the last only where the package
    zstandard is installed."""
    return {name: _sizes(content) for name, content in files.items()}


def _sizes(content: bytes) -> dict[str, int]:
    found = {
        "bytes": len(content),
        "deflate": len(zlib.compress(content, DEFLATE_LEVEL)),
    }
    try:
        zstd = importlib.import_module("zstandard")
    except ModuleNotFoundError:
        return found
    return {**found, "zstd": len(zstd.compress(content, ZSTD_LEVEL))}
