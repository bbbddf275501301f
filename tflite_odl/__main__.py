"""The command line of the package: tflite-odl convert | emulate | ...

Commands are convert, emulate, describe, bake, deliver and deploy;
`tflite-odl COMMAND --help` lists the flags of one.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = ("convert", "emulate", "describe", "bake", "deliver", "deploy")


def main() -> None:
    """Runs the command that is named first and ends the process."""
    name, *rest = sys.argv[1:] or [""]
    if name not in COMMANDS:
        asked = name in ("-h", "--help", "help")
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    try:
        command = importlib.import_module(f"tflite_odl.commands.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "tf_keras"):
            raise
        print(
            f"tflite-odl {name} needs TensorFlow: pip install 'tflite_odl[export]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = [f"tflite-odl {name}", *rest]
    command.run()


if __name__ == "__main__":
    main()
