"""Names of nodes and weights."""

from __future__ import annotations

import re
from collections.abc import Collection


def unique(name: str, taken: Collection[str]) -> str:
    """Returns the name, with a number behind it if it is taken (a shared layer)."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def of_weight(path: str, role: str) -> str:
    """Returns the name of a layer's weight, of letters, digits and `_`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"{path}_{role}")
    return name if name[0].isalpha() else f"w_{name}"
