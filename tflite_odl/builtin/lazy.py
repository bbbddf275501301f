"""TensorFlow, imported when it is first used.

Losses, optimizers and schedules are named and configured without it, so a command line
can list them in no time.
"""

from __future__ import annotations

import importlib
from typing import Any


class _TensorFlow:
    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module("tensorflow"), name)
        setattr(self, name, found)
        return found


tf = _TensorFlow()
