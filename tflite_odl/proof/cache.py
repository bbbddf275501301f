"""What was proven before on this machine, so that it need not be proven again."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import platform
import tempfile


class Cache:
    """Numbers by key, a small file each.

    A file that is damaged, or of another key, counts as absent and is written anew.
    Files appear whole or not at all, so that several processes may share a folder.

    Args:
      folder: where they are; None keeps nothing.
    """

    def __init__(self, folder: str | os.PathLike | None) -> None:
        self.folder = None if folder is None else pathlib.Path(folder)

    @classmethod
    def usual(cls) -> Cache:
        """Returns the user's: in `$XDG_CACHE_HOME`, or in `~/.cache`."""
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        return cls(pathlib.Path(base) / "tflite_odl" / "layers")

    def get(self, key: str) -> float | None:
        """Returns what was put under a key; None if nothing whole is there."""
        if self.folder is None:
            return None
        try:
            content = json.loads((self.folder / f"{key}.json").read_bytes())
            if content["check"] == _check(key, content["value"]):
                return float(content["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def put(self, key: str, value: float) -> None:
        """Keeps a number; where the folder cannot be written, nothing is kept."""
        if self.folder is None:
            return
        content = {"value": value, "check": _check(key, value)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, suffix=".new", delete=False
            ) as file:
                json.dump(content, file)
            os.replace(file.name, self.folder / f"{key}.json")
        except OSError:
            return


def processor() -> str:
    """Returns what decides which kernels the runtime takes: the CPU's features."""
    try:
        with open("/proc/cpuinfo") as file:
            found = {line for line in file if line.startswith(("flags", "Features"))}
    except OSError:
        found = set()
    return "\n".join([platform.machine(), platform.processor(), *sorted(found)])


def _check(key: str, value: float) -> str:
    return hashlib.sha256(f"{key} {value!r}".encode()).hexdigest()
