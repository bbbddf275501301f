"""What a fault is: one function of the library that answers something else."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Fault:
    """A wrong answer of one function, as a slip of the pen would make it.

    Attributes:
      name: what is wrong, in a few words; unique.
      net: key of the net that shows it.
      owner: class or module whose attribute is replaced.
      attribute: the function's name.
      change: the right function -> the wrong one.
    """

    name: str
    net: str
    owner: Any
    attribute: str
    change: Callable[[Callable], Callable]

    @contextlib.contextmanager
    def put_in(self) -> Iterator[None]:
        """Within the context the library is wrong: trace the graph there, and make
        everything it is compared with outside."""
        right = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.change(right))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, right)


def answer(change: Callable[..., Any]) -> Callable[[Callable], Callable]:
    """Returns what makes of a function one whose answer is changed.

    Args:
      change: (answer, *arguments) -> another answer; it takes as many of the arguments
        as it names.
    """
    wanted = change.__code__.co_argcount - 1

    def changed(right: Callable) -> Callable:
        def wrong(*arguments, **options):
            found = right(*arguments, **options)
            return change(found, *arguments[:wanted])

        return wrong

    return changed


def instead(wrong: Callable[..., Any]) -> Callable[[Callable], Callable]:
    """Returns what puts one function in the place of another."""
    return lambda right: wrong


def given(change: Callable[..., tuple]) -> Callable[[Callable], Callable]:
    """Returns what makes of a function one that is given other arguments.

    Args:
      change: takes all of them, those by name aside, and returns the new ones.
    """

    def changed(right: Callable) -> Callable:
        return lambda *arguments, **options: right(*change(*arguments), **options)

    return changed
