"""Runs a piece of work in a process of its own, which may crash, hang, or be killed.

Children are forks: the parent has imported all, but never made a runtime.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


def run(work: Callable[[], Any], most_seconds: float) -> tuple[str, Any]:
    """Returns ("done", what the work returned), or how it ended otherwise and None.

    That is "crash", with the signal's number; "hang"; "traceback", with its last line.
    """
    source, child = start(work)
    try:
        content = _read(source, time.monotonic() + most_seconds)
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang", None
    finally:
        os.close(source)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "crash", os.WTERMSIG(status)
    try:
        return tuple(json.loads(content))
    except ValueError:
        return "crash", status


def start(work: Callable[[], Any]) -> tuple[int, int]:
    """Forks a child that works; returns (what to read its answer from, its number)."""
    source, sink = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(sink)
        return source, child
    faulthandler.disable()
    os.close(source)
    try:
        answer = ("done", work())
    except BaseException:
        answer = ("traceback", traceback.format_exc().strip().splitlines()[-1][:300])
    with os.fdopen(sink, "wb") as file:
        file.write(json.dumps(answer).encode())
    os._exit(0)


def _read(source: int, deadline: float) -> bytes:
    parts = []
    while True:
        ready, _, _ = select.select(
            [source], [], [], max(0, deadline - time.monotonic())
        )
        if not ready:
            raise TimeoutError
        part = os.read(source, 2**16)
        if not part:
            return b"".join(parts)
        parts.append(part)
