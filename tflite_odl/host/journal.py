"""The file of a run's records: a JSON object a line, each with its checksum.

A line is a record's JSON with `"crc"` as its last field: the CRC-32 of the line's bytes
without that field, 8 hexadecimal digits. The checkpoint says how many batches there
are; the journal follows it.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tflite_odl import files
from tflite_odl.errors import DataError

Record = dict[str, Any]

MOST_LINE_BYTES, MOST_PENDING = 2**20, 64
DAMAGED_SUFFIX = ".damaged"
_LINE = re.compile(rb'(\{.*), "crc": "([0-9a-f]{8})"\}\n', re.DOTALL)


class Journal:
    """Open at its end, for more records.

    Args:
      path: of the file; made if it is not there.

    Raises:
      DataError: it cannot be written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._what = f"cannot write {files.shown(path)}"
        with files.told(DataError, self._what):
            self._file = open(path, "ab", 0)
        self._pending: list[bytes] = []

    def append(self, record: Record) -> None:
        """Takes one more record; `sync` makes it durable.

        Raises:
          DataError: as `sync` does.
        """
        self._pending.append(line(record))
        if len(self._pending) >= MOST_PENDING:
            self._write()

    def sync(self) -> None:
        """Writes what was appended, durably.

        Raises:
          DataError: the disk is full or gone. A line that is there in part is cut when
            the run goes on.
        """
        self._write()
        with files.told(DataError, self._what):
            os.fsync(self._file.fileno())

    def _write(self) -> None:
        content, self._pending = b"".join(self._pending), []
        with files.told(DataError, self._what):
            while content:
                content = content[self._file.write(content) :]

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def line(record: Record) -> bytes:
    """Returns a record as a line of the file."""
    text = json.dumps(record, allow_nan=False).encode()
    return text[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(text)


def parse(content: bytes) -> Record | None:
    """Returns the record of a line, None if the line is damaged."""
    found = _LINE.fullmatch(content)
    if not found or zlib.crc32(found[1] + b"}") != int(found[2], 16):
        return None
    try:
        record = json.loads(found[1] + b"}")
    except (ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def read(path: pathlib.Path) -> Iterator[Record]:
    """Yields the whole records of a file, in their order; none if there is no file."""
    for _, record in _lines(path):
        if record is not None:
            yield record


def keep(
    path: pathlib.Path,
    position: int,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Makes the file follow the checkpoint: records of batches 1 to `position`.

    What came after is redone, a line that a kill cut short too. Damaged lines before
    are cut; the file as it was is kept beside it then.

    Args:
      path: of the file; it need not exist.
      position: batches that the state has seen.
      note: told what the user should know.

    Raises:
      DataError: the file cannot be read or written.
    """
    kept = _Kept(path, position)
    if os.path.lexists(path):
        files.check_regular(path, DataError)
        with files.told(DataError, f"cannot write {files.shown(path)}"):
            with files.staged(path, kept.lines()) as fresh:
                if kept.lost:
                    shutil.copyfile(path, path.with_name(path.name + DAMAGED_SUFFIX))
                if kept.cut:
                    os.replace(fresh, path)
    if kept.lost:
        note(
            f"{path}: the records of {kept.lost} of the {position} batches so far are "
            "missing or damaged; the summary is of the others"
        )
    elif kept.damaged:
        note(f"{path}: a damaged end was cut, its batches are redone")


class _Kept:
    """Which lines are kept, and after `lines` ran through what was cut."""

    def __init__(self, path: pathlib.Path, position: int) -> None:
        self._path, self._position = path, position
        self.cut = self.damaged = 0
        self.lost = position

    def lines(self) -> Iterator[bytes]:
        last = 0
        for content, record in _lines(self._path):
            batch = record["batch"] if record else 0
            if last < batch <= self._position:
                last = batch
                self.lost -= 1
                yield content
                continue
            self.cut += 1
            self.damaged += record is None or batch <= last


def _lines(path: pathlib.Path) -> Iterator[tuple[bytes, Record | None]]:
    """Yields each line and its record, None if it is damaged."""
    with files.told(DataError, f"cannot read {files.shown(path)}"):
        if not os.path.lexists(path):
            return
        with files.opened(path) as file:
            while content := file.readline(MOST_LINE_BYTES):
                yield content, parse(content)


def _is_record(record: Any) -> bool:
    """Whether a whole line says what a summary needs, in numbers."""
    if type(record) is not dict or type(record.get("batch")) is not int:
        return False
    needed = [record.get(name) for name in ("rejected_rows", "ms")]
    told = [record.get(name) for name in ("loss", "correct", "absolute_error", "count")]
    numbers = [*needed, *(value for value in told if value is not None)]
    return all(type(value) in (int, float) for value in numbers)
