"""Which function an address of an emulated process belongs to."""

from __future__ import annotations

import bisect
import functools
import pathlib

from tflite_odl.errors import DeviceError


class Symbols:
    """The functions of a process.

    Args:
      maps: its /proc/self/maps.
      root: where the guest's absolute paths are, if they are there.
    """

    def __init__(self, maps: str, root: pathlib.Path) -> None:
        self._root = root
        self._bases: dict[str, int] = {}
        self._ranges: list[tuple[int, int, str]] = []
        for line in maps.splitlines():
            parts = line.split(maxsplit=5)
            if len(parts) < 6 or not parts[5].startswith("/"):
                continue
            low, high = (int(end, 16) for end in parts[0].split("-"))
            if int(parts[2], 16) == 0:
                self._bases.setdefault(parts[5], low)
            self._ranges.append((low, high, parts[5]))
        self._ranges.sort()

    def __call__(self, address: int) -> tuple[str, str]:
        """Returns the file's name and the function's; empty where there is none."""
        at = bisect.bisect_right(self._ranges, (address, 1 << 64, "")) - 1
        if at < 0 or address >= self._ranges[at][1]:
            return "", ""
        path = self._ranges[at][2]
        inside = self._root / path.lstrip("/")
        starts, names = _functions(str(inside if inside.exists() else path))
        found = bisect.bisect_right(starts, address - self._bases.get(path, 0)) - 1
        return pathlib.Path(path).name, names[found] if found >= 0 else ""


@functools.cache
def _functions(path: str) -> tuple[list[int], list[str]]:
    """Returns the starts of a file's functions, ascending, and their names."""
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection
    except ImportError as error:
        raise DeviceError(
            "counting needs pyelftools: pip install pyelftools"
        ) from error
    try:
        with open(path, "rb") as file:
            tables = [
                section
                for section in ELFFile(file).iter_sections()
                if isinstance(section, SymbolTableSection)
            ]
            found = sorted(
                (symbol["st_value"], symbol.name)
                for table in tables
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_value"]
            )
    except (OSError, ELFError):
        found = []
    return [start for start, _ in found], [name for _, name in found]
