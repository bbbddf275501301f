"""Zip archives whose stored entries begin at round offsets, equal for equal content.

Android maps a library out of the APK, which asks for whole pages: 16 KB, so that
phones with larger pages can do so, too. What an entry is aligned to is said in the
extra field that apksigner keeps to.
"""

from __future__ import annotations

import pathlib
import struct
import zipfile
from collections.abc import Mapping

PAGE_BYTES = 16384
WORD_BYTES = 4
_WRITTEN = (1980, 1, 1, 0, 0, 0)
_ALIGNED = 0xD935
# resources.arsc must be stored from target API 30 on.
_STORED = (".so", ".arsc")


def write(path: pathlib.Path, entries: Mapping[str, bytes]) -> None:
    """Writes an archive of named entries, libraries and resources stored."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _WRITTEN)
            if name.endswith(_STORED):
                start = archive.fp.tell() + 30 + len(name.encode())
                entry.extra = _padding(start, name.endswith(".so"))
            else:
                entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _padding(start: int, page: bool) -> bytes:
    """Returns the extra field after which the content begins at a round offset."""
    unit = PAGE_BYTES if page else WORD_BYTES
    zeros = -(start + 6) % unit
    return struct.pack("<HHH", _ALIGNED, 2 + zeros, unit) + bytes(zeros)


def offsets(path: pathlib.Path) -> dict[str, int]:
    """Returns where in an archive the content of each stored entry begins."""
    found = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for entry in archive.infolist():
            if entry.compress_type == zipfile.ZIP_STORED:
                file.seek(entry.header_offset + 26)
                name, extra = struct.unpack("<HH", file.read(4))
                found[entry.filename] = entry.header_offset + 30 + name + extra
    return found
