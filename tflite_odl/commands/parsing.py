"""Flags of a command, by whichever script it is run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable

from absl import flags

from tflite_odl.commands import quiet
from tflite_odl.errors import ContractError

HELP = {"--help", "-help", "-h", "--helpshort"}


def parser(
    module: str, groups: Callable[[], Iterable[str]] = tuple
) -> Callable[[list[str]], list[str]]:
    """Returns what parses a command's flags, for `app.run`.

    For `--help` it prints what the module says of itself, its flags, those of `quiet`
    and of the groups, and ends the process.

    Args:
      module: name of the command's module, by which its flags are known.
      groups: returns the headings of its other flags.
    """

    def parse(argv: list[str]) -> list[str]:
        if not HELP.intersection(argv):
            return flags.FLAGS(argv)
        print(inspect.getdoc(sys.modules[module]))
        for heading in (module, quiet.__name__, *groups()):
            print(flags.FLAGS.module_help(heading))
        sys.exit(0)

    return parse


def settings(given: Iterable[str]) -> dict[str, float]:
    """Returns what --set says, each name=number.

    Raises:
      ContractError: one is not of that form.
    """
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise ContractError(f"--set={text}: needs name=number") from error
    return found
