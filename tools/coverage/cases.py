"""Every row of the suite: the nets of `models`, and the designs of others."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import pathlib
import sys
from typing import Any

from tools.coverage import models
from tools.coverage.designs import DESIGNS

NAMES = (*models.CASES, *DESIGNS)


def facts(name: str) -> dict[str, Any]:
    """Returns what is measured, as it stands in a record."""
    if name in models.CASES:
        return json.loads(json.dumps(dataclasses.asdict(models.CASES[name])))
    design = DESIGNS[name]
    text = inspect.getsource(design.build)
    return {
        "source": design.source,
        "group": design.group,
        "batch": design.batch,
        "code": hashlib.sha256(text.encode()).hexdigest()[:12],
    }


def command(name: str, folder: pathlib.Path, seconds: float) -> list[object]:
    """Returns what measures a case, in a process of its own."""
    of_ours = name in models.CASES
    script = "tools.coverage.measure" if of_ours else "tools.coverage.measure_design"
    more = [seconds] if of_ours else []
    return [sys.executable, "-m", script, name, folder, *more]
