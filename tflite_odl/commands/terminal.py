"""Where the command lines print: messages by `out`, tables by `print`.

`Console.out` writes its text as it is, in one piece: rich wraps, numbers and replaces
what goes through `print`, also where a path has `:smile:` or `[bold]` in it.
"""

from __future__ import annotations

from rich.console import Console

# No table is as wide; a terminal's own width goes for terminals.
UNBOUNDED = 100_000


def console(stderr: bool = False) -> Console:
    """Returns a console; into a file or a pipe, tables are as wide as they need."""
    found = Console(stderr=stderr, highlight=False)
    if found.is_terminal:
        return found
    return Console(stderr=stderr, highlight=False, width=UNBOUNDED)
