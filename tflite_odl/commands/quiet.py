"""Keeps the notes of LiteRT and of TensorFlow's converter off the screen.

LiteRT tells file descriptor 2 of each accelerator it finds and lets go, also while the
process ends, and its wheel has no call to make it silent. `start` puts a filter between
that descriptor and the screen: a small process, so that what was written last arrives
whichever way the tool dies. `--verbose` leaves everything as it is.
"""

from __future__ import annotations

import atexit
import io
import os
import re
import signal
import sys
import threading

from absl import flags

_VERBOSE = flags.DEFINE_boolean(
    "verbose", False, "show what LiteRT and TensorFlow's converter note, too"
)

# How a note begins: of TFLite and LiteRT; of TensorFlow before its logger is set up.
NOTES = (b"INFO: ", b"WARNING: ", b"I0000 ")
# The line after one goes on with it.
CONTINUED = "└ ".encode()
# Signals that end the tool, by the terminal also sent to the filter.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")


class Filter:
    """Drops notes from a stream of bytes that comes in pieces of any size.

    Lines that may become a note wait for their end; all else passes at once.
    """

    def __init__(self) -> None:
        self._held = b""
        self._inside = False  # a line that has begun to pass
        self._notes = NOTES

    def feed(self, piece: bytes) -> bytes:
        """Returns what passes of the stream so far."""
        return b"".join(map(self._part, _LINES.findall(piece)))

    def end(self) -> bytes:
        """Returns what waited in vain; a note that was cut off is shown."""
        held, self._held = self._held, b""
        return held

    def _part(self, part: bytes) -> bytes:
        """Returns what passes of a line's next part, the line's end at most."""
        line, whole = self._held + part, part.endswith(b"\n")
        noted = not self._inside and line.startswith(self._notes)
        open_ = not self._inside and any(n.startswith(line) for n in self._notes)
        self._held = line if not whole and (noted or open_) else b""
        if self._held:
            return b""
        self._inside = not whole
        if whole:
            self._notes = (*NOTES, CONTINUED) if noted else NOTES
        return b"" if noted else line


def without_notes(text: str) -> str:
    """Returns a process' errors without the notes."""
    found = Filter()
    return (found.feed(text.encode()) + found.end()).decode()


def start() -> None:
    """Filters file descriptor 2 until the process ends, unless `--verbose`.

    What Python writes goes past the filter, behind what was written before it: so a
    message may begin like a note, and a progress bar knows its terminal.
    """
    if _VERBOSE.value:
        return
    try:
        screen = os.dup(2)
    except OSError:  # closed: nobody reads it
        return
    sys.stderr.flush()
    source, sink = os.pipe()
    done, tell = os.pipe()
    token = b"\0\1" + os.urandom(14)
    if os.fork() == 0:
        try:
            _serve(source, screen, tell, token)
        finally:
            os._exit(0)
    os.dup2(sink, 2)
    for descriptor in (source, sink, tell):
        os.close(descriptor)
    barrier = _Barrier(token, done)
    sys.stderr = _Ordered(screen, barrier, sys.stderr.encoding)
    atexit.register(barrier.wait)


class _Barrier:
    """Waits until all that was written to descriptor 2 is on the screen."""

    def __init__(self, token: bytes, done: int) -> None:
        self._token, self._done = token, done
        self._process = os.getpid()
        self._lock = threading.Lock()

    def wait(self) -> None:
        if os.getpid() != self._process:  # a fork: the answer would be its parent's
            return
        with self._lock:
            try:
                os.write(2, self._token)
            except OSError:  # the filter has gone
                return
            os.read(self._done, 1)


class _Ordered(io.TextIOWrapper):
    """Python's own errors, straight to the screen, after what came before them."""

    def __init__(self, screen: int, barrier: _Barrier, encoding: str) -> None:
        raw = open(screen, "wb", buffering=0)
        super().__init__(raw, encoding, "backslashreplace", write_through=True)
        self._barrier = barrier

    def write(self, text: str) -> int:
        self._barrier.wait()
        return super().write(text)


def _serve(source: int, screen: int, tell: int, token: bytes) -> None:
    """The filter's process: ends when nobody can write to `source` any more."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    kept = sorted((source, screen, tell))
    for low, high in zip((-1, *kept), (*kept, os.sysconf("SC_OPEN_MAX"))):
        os.closerange(low + 1, high)
    passing, rest = Filter(), b""
    while piece := os.read(source, 2**16):
        *before, last = (rest + piece).split(token)
        for part in before:
            _write(screen, passing.feed(part))
            _write(tell, b".")
        rest = _begun(last, token)
        _write(screen, passing.feed(last[: len(last) - len(rest)]))
    _write(screen, passing.feed(rest) + passing.end())


def _begun(data: bytes, token: bytes) -> bytes:
    """Returns the end of the data that may be the beginning of the token."""
    sizes = range(min(len(data), len(token) - 1), 0, -1)
    return next((token[:n] for n in sizes if data.endswith(token[:n])), b"")


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of it; a screen or a tool that has gone is not missed."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return
