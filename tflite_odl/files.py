"""Reads and writes files with care: bounded, whole, and told in this package's errors.

A name that a user or a file gives may lead to anything: a pipe that never answers, a
device without end, a full disk. What is written appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import uuid
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from tflite_odl.errors import OdlError

# A .tflite's own limit; nothing else that is read is as large.
LARGEST_BYTES = 2**31
WRITING = ".writing"


@contextlib.contextmanager
def told(kind: type[OdlError], what: str) -> Iterator[None]:
    """Turns what the system says of a file, or of its name, into an error of `kind`.

    Args:
      kind: of error.
      what: was tried; begins the message.
    """
    try:
        yield
    except OdlError:
        raise
    except (OSError, ValueError) as error:
        # ValueError: a NUL or half a character in a name.
        reason = getattr(error, "strerror", None) or error
        raise kind(f"{what}: {reason}") from error


def read(
    path: str | os.PathLike, kind: type[OdlError], most_bytes: int = LARGEST_BYTES
) -> bytes:
    """Returns the content of a regular file.

    Args:
      path: of the file; pipes, devices and folders are refused unread.
      kind: of error.
      most_bytes: a larger file is refused unread.

    Raises:
      kind: it cannot be read; why is said.
    """
    with told(kind, f"cannot read {shown(path)}"):
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most_bytes:
                raise ValueError(f"it has {size} bytes, {most_bytes} at most are read")
            return file.read()


def opened(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file to read; raises OSError or ValueError, see `told`."""
    return open(path, "rb", opener=_regular)


def check_regular(path: str | os.PathLike, kind: type[OdlError]) -> None:
    """Raises `kind` unless a library that opens the path by itself finds a file."""
    with told(kind, f"cannot read {shown(path)}"):
        os.close(_regular(path, os.O_RDONLY))


def write(path: str | os.PathLike, content: bytes, kind: type[OdlError]) -> None:
    """Writes a file whole and durably, or leaves what is there as it is.

    Raises:
      kind: it cannot be written; why is said.
    """
    with told(kind, f"cannot write {shown(path)}"), staged(path, content) as fresh:
        os.replace(fresh, path)
        sync_folder(pathlib.Path(path).parent)


@contextlib.contextmanager
def staged(
    path: str | os.PathLike, content: bytes | Iterable[bytes]
) -> Iterator[pathlib.Path]:
    """Yields a durable file of a name of its own beside `path`, to be renamed.

    What is still there of it in the end is removed; what a kill left, `clean` removes.
    """
    name = f".{os.getpid()}-{uuid.uuid4().hex[:12]}{WRITING}"
    fresh = pathlib.Path(path).with_name(name)
    try:
        with open(fresh, "xb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        yield fresh
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def clean(folder: pathlib.Path) -> None:
    """Removes what processes that have ended left of `staged` files in a folder."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f".*-*{WRITING}"):
            process = path.name[1:].partition("-")[0]
            if process.isdecimal() and not is_running(int(process)):
                path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether a process of this machine, by its number, has not ended."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


def sync_folder(path: pathlib.Path) -> None:
    """Makes renames and new names in a folder durable, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that cannot be listed, or not on this system
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shown(path: str | os.PathLike) -> str:
    """Returns a path as a message can have it, printable and not endless."""
    text = os.fspath(path)
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    text = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= 1000 else f"{text[:500]}...{text[-400:]}"


def _regular(path: str | os.PathLike, flags: int) -> int:
    """Opens a regular file; raises OSError for everything else, without waiting."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ValueError("it is no file, but a folder, a pipe or a device")
