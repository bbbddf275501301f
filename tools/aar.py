"""Builds the library for apps: python tools/aar.py --out=build/android

It writes tflite-odl.aar, which has no runtime inside, and a Maven folder with a POM.
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tflite_odl.commands import parsing, terminal
from tflite_odl.errors import OdlError
from tools.android import aar

_OUT = flags.DEFINE_string("out", "build/android", "the folder to write to")


def main(arguments: list[str]) -> int:
    try:
        print(aar.build(pathlib.Path(_OUT.value)))
    except OdlError as error:
        text = f"{type(error).__name__}: {error}"
        terminal.console(stderr=True).out(text, style="red")
        return 2
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=parsing.parser(__name__))
