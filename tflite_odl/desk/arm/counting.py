"""Counts what a signature executes on an ARM64 core: exact, and the same every time.

A count is no time. What is made of counts: a bound, the cycles that the core's width
alone allows; and an estimate, the bound and half of what the memory would take if every
line were fetched ahead. Both are for one thread; there is no TLB, no prefetcher and no
write-back in them. They order plans and artifacts; a phone's milliseconds they are not.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
import tempfile
from collections.abc import Sequence

import numpy as np

from tflite_odl.desk import places, replay
from tflite_odl.desk.arm import decoding, guest
from tflite_odl.desk.arm.cores import Core
from tflite_odl.desk.arm.environment import Emulator
from tflite_odl.desk.arm.symbols import Symbols
from tflite_odl.errors import DeviceError

# Cycles for a line of 64 bytes out of the second cache, the third, and memory: of a
# core at 2.4 GHz with 38, 19 and 10 GB/s.
LINE_CYCLES = (4, 8, 16)
# Kinds of work, by the names of the functions that do it in LiteRT and XNNPACK.
KINDS = (
    ("matrix products", r"_i?gemm_|KernelFloatNeon|pf32_gemm|gebp|sgemm"),
    ("packing", r"pack"),
    ("stencils", r"dwconv|[Dd]epthwise"),
    ("sums", r"r[d]?sum|rdminmax|[Rr]educ"),
    ("transposes", r"transpose|Transpose"),
    ("copies", r"mem(cpy|move|set)|copy|slice|Slice|[Cc]oncat|Copy"),
    ("elementwise", r"xnn_[a-z0-9_]*_v[a-z]+"),
)
# Files that a phone has nothing of.
PYTHON = r"^python3|^libpython|numpy|multiarray|pybind"


@dataclasses.dataclass(frozen=True)
class Count:
    """What one call executes, in millions.

    Attributes:
      signature: what was called; Python's own part is left out.
      core: a name of `cores.CORES`.
      instructions: executed.
      bound: cycles, at least.
      estimate: cycles, with half of what memory takes.
      read, written: megabytes.
      kinds: {kind of work: its instructions}.
    """

    signature: str
    core: str
    instructions: float
    bound: float
    estimate: float
    read: float
    written: float
    kinds: dict[str, float]


def count(
    emulator: Emulator, artifact: pathlib.Path, calls: Sequence[replay.Call]
) -> list[Count]:
    """Counts each call on one thread of the emulated core.

    Args:
      emulator: of the core.
      artifact: a folder or a bare file.
      calls: each with a state of its own.

    Raises:
      DeviceError: the emulator failed, or what it wrote cannot be read.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        replay.write(folder, artifact, calls, "interpreter", threads=1)
        caches = emulator.core.caches
        levels = (f"l{n}={c.kb}/{c.ways}" for n, c in enumerate(caches, 1))
        plugin = ",".join((f"out={folder / 'count'}", "cache=1", *levels))
        module = ("-m", "tflite_odl.desk.arm.guest", folder)
        places.run("counting", emulator.command(*module, plugin=plugin))
        symbols = Symbols((folder / guest.MAPS).read_text(), emulator.root)
        return [
            _count(folder / f"count.{2 * n + 1}", call, emulator.core, symbols)
            for n, call in enumerate(calls)
        ]


def _count(
    path: pathlib.Path, call: replay.Call, core: Core, symbols: Symbols
) -> Count:
    try:
        records = np.fromfile(path, np.uint64).reshape(-1, 7)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"the counting plugin left no {path.name}: {error}"
        ) from error
    times, misses = records[:, 2].astype(np.float64), records[:, 4:].sum(axis=0)
    each = decoding.decode(records[:, 1].astype(np.uint32)) * times[:, None]
    rows = np.column_stack([times, each])
    by_function: dict[str, np.ndarray] = collections.defaultdict(
        lambda: np.zeros(rows.shape[1])
    )
    for address, row in zip(records[:, 0].tolist(), rows, strict=True):
        file, function = symbols(address)
        if not re.search(PYTHON, file):
            by_function[function or file] += row
    bound = sum(_bound(row, core) for row in by_function.values())
    kinds: dict[str, float] = collections.defaultdict(float)
    for name, row in by_function.items():
        kinds[_kind(name)] += row[0] / 1e6
    whole = sum(by_function.values(), np.zeros(rows.shape[1]))
    memory = _memory(misses.astype(np.float64))
    return Count(
        call.signature,
        core.name,
        instructions=whole[0] / 1e6,
        bound=bound / 1e6,
        estimate=(bound + memory / 2) / 1e6,
        read=whole[3] / 1e6,
        written=whole[4] / 1e6,
        kinds=dict(sorted(kinds.items(), key=lambda item: -item[1])),
    )


def _bound(row: np.ndarray, core: Core) -> float:
    """Returns the cycles of one function, by what of the core is the narrowest."""
    instructions, fma, vector, _, _, accesses = row
    return max(
        instructions / core.instructions,
        (fma + vector) / core.vectors,
        accesses / core.accesses,
    )


def _memory(misses: np.ndarray) -> float:
    """Returns the cycles that fetching lines takes, by the misses of each level."""
    l1, l2, l3 = misses
    return float(np.dot(LINE_CYCLES, (l1 - l2, l2 - l3, l3)))


def _kind(function: str) -> str:
    return next((k for k, pattern in KINDS if re.search(pattern, function)), "other")
