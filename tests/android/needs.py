"""What a machine may lack for tests of the harness; they are skipped by its name."""

from __future__ import annotations

import pytest

from tools.android import commands, downloads


def needs(*tools: str) -> pytest.MarkDecorator:
    """Returns the mark of tests that call these tools."""
    lacking = commands.missing(*tools)
    return pytest.mark.skipif(bool(lacking), reason=f"no {', '.join(lacking)} here")


def pinned(*names: str) -> None:
    """Skips a test if a download cannot be had; a wrong one is an error."""
    for name in names:
        try:
            downloads.get(name)
        except downloads.UnreachableError as error:
            pytest.skip(str(error)[:200])
