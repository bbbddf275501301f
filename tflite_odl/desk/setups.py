"""What is set up once, in the user's cache: whole, or not at all."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable


def usual(name: str, cache: str | os.PathLike | None = None) -> pathlib.Path:
    """Returns the folder of a name in a cache: `$XDG_CACHE_HOME`, or `~/.cache`."""
    own = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache or own) / "tflite_odl" / name


def made(home: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    """Makes a folder, unless it is there; two processes may do so at once.

    Args:
      home: where it shall be.
      make: fills an empty folder beside it.
    """
    if home.is_dir():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as fresh:
        make(pathlib.Path(fresh))
        os.chmod(fresh, 0o755)
        try:
            os.rename(fresh, home)
            os.mkdir(fresh)  # for TemporaryDirectory to remove
        except OSError:
            if not home.is_dir():  # else another process was faster
                raise
