"""Paths that a file gives stay inside the folder they were given for."""

from __future__ import annotations

import pathlib

from tflite_odl.errors import ArtifactError


def inside(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns `folder / name`, a path that stays in the folder on every system.

    Args:
      folder: where the file must be.
      name: parts joined by `/`; symbolic links may not lead out of the folder.

    Raises:
      ArtifactError: the path is absolute, leads out of the folder, or means something
        else on another system.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or set(name) & set("\\:\0"):
        raise ArtifactError(
            f"{folder} names a file {name!r}: needs a path inside it, parts joined by "
            "'/', without '..', '\\' and ':'"
        )
    path = folder / name
    try:
        leaves = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error
    if leaves:
        raise ArtifactError(f"{path} leads out of its folder")
    return path
