"""The right to write to a folder, which one process has at a time.

It is a lock of the operating system on the file `.lock` there, so it ends with the
process that holds it, whichever way that ends. The file says who holds it.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import socket
from typing import Any

from tflite_odl import files
from tflite_odl.errors import BusyError, CheckpointError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is locked there
    fcntl = None

LOCK_FILE = ".lock"
_MOST_BYTES = 4096


class Claim:
    """Holds a folder until `release`, or until the process ends.

    Args:
      folder: made if it is not there. What dead processes left half-written is removed.

    Raises:
      BusyError: someone else holds it; who is said.
      CheckpointError: the folder cannot be written.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        with files.told(CheckpointError, f"cannot write to {files.shown(folder)}"):
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.fdopen(os.open(folder / LOCK_FILE, flags, 0o666), "r+b", 0)
        try:
            _lock(self._file)
        except BlockingIOError as error:
            holder = _holder(self._file)
            self._file.close()
            raise BusyError(
                f"{files.shown(folder)} is in use by {holder}: wait for its end, or "
                "take another folder"
            ) from error
        _note(self._file, json.dumps(_me()).encode())
        files.clean(folder)

    def release(self) -> None:
        """Lets others have the folder."""
        if not self._file.closed:
            _note(self._file, b"")
            self._file.close()


def _lock(file: Any) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return


def _me() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": now.isoformat(timespec="seconds"),
    }


def _note(file: Any, content: bytes) -> None:
    """Writes who holds the folder; on a full disk nobody is named."""
    try:
        file.seek(0)
        file.truncate()
        file.write(content)
    except OSError:
        return


def _holder(file: Any) -> str:
    try:
        about = json.loads(file.read(_MOST_BYTES))
        return f"process {about['process']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
