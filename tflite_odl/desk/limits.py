"""Takes memory and storage from a process, as a phone does.

Memory by the operating system; what a process holds before it is limited is not
counted: the limit is for the artifact and its runtime. Storage by Python's audit hook.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import resource
import sys
import threading
import time
import uuid
from collections.abc import Callable

CGROUPS = pathlib.Path("/sys/fs/cgroup")
# What a process says when the system gave it no more memory, or killed it.
OUT_OF_MEMORY = 86
POLL_SECONDS = 0.02


def hold(megabytes: float) -> str:
    """Limits this process to so much more memory than it has now.

    Beyond it the process ends: killed, or with exit code `OUT_OF_MEMORY`.

    Returns:
      The mechanism: `cgroup v2`, `cgroup v1`, or `polling` of the resident size, which
      notices an excess some milliseconds late. (Limits of address space are of no use:
      the runtime reserves more than it touches.)
    """
    size = int(megabytes * 2**20)
    for name, limit in (("cgroup v2", _version2), ("cgroup v1", _version1)):
        if limit(size):
            return name
    poll(size)
    return "polling"


def _version2(size: int) -> bool:
    own = _own_group(r"^0::(/.*)$")
    base = CGROUPS if own is None else CGROUPS / own.lstrip("/")
    if not (CGROUPS / "cgroup.controllers").exists():
        return False
    return _join(base, {"memory.max": size, "memory.swap.max": 0})


def _version1(size: int) -> bool:
    own = _own_group(r"^\d+:memory:(/.*)$")
    base = CGROUPS / "memory" / (own or "").lstrip("/")
    if not (CGROUPS / "memory").is_dir():
        return False
    if not base.is_dir():
        base = CGROUPS / "memory"
    return _join(base, {"memory.limit_in_bytes": size})


def _own_group(pattern: str) -> str | None:
    try:
        text = pathlib.Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    found = re.search(pattern, text, re.MULTILINE)
    return found and found[1]


def _join(base: pathlib.Path, settings: dict[str, int]) -> bool:
    """Makes a group with the settings and moves this process into it."""
    group = base / f"tflite_odl_{uuid.uuid4().hex}"
    try:
        group.mkdir()
        for name, value in settings.items():
            if (group / name).exists():
                (group / name).write_text(str(value))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        return False
    return True


def sweep() -> None:
    """Removes the empty groups that ended processes have left."""
    for group in CGROUPS.glob("**/tflite_odl_*"):
        with contextlib.suppress(OSError):
            group.rmdir()


def resident() -> int:
    """Returns the bytes of this process that are in memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Returns the most bytes of this process that were ever in memory.

    Not by getrusage, whose figure a process inherits from the one that started it.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def poll(
    size: int, ended: Callable[[], None] = lambda: os._exit(OUT_OF_MEMORY)
) -> threading.Thread:
    """Watches the resident size from now on; `ended` is called when it has grown more.

    Returns:
      The thread that watches.
    """
    base = resident()

    def watch() -> None:
        while resident() - base <= size:
            time.sleep(POLL_SECONDS)
        ended()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def quota(folder: pathlib.Path, size: int) -> None:
    """Lets this process open no file for writing once a folder holds `size` bytes.

    What is opened may be as large as the largest file there, so that much must be free:
    `open` raises ENOSPC otherwise, as a full disk does in the write that follows.
    """

    def watch(event: str, arguments: tuple) -> None:
        if event != "open" or not writes(arguments):
            return
        if not str(arguments[0]).startswith(str(folder)):
            return
        sizes = held(folder)
        if sum(sizes.values()) + max(sizes.values(), default=0) > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    sys.addaudithook(watch)


def held(folder: pathlib.Path) -> dict[str, int]:
    """Returns {name: bytes} of the files of a folder, folders in it left out."""
    sizes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file():
                    sizes[entry.name] = entry.stat().st_size
    return sizes


def writes(arguments: tuple) -> bool:
    """Whether an audited `open` is for writing, by its mode, or of `os.open` by its
    flags."""
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR))
