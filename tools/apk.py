"""Builds the app: python tools/apk.py --artifact=artifacts/mine --out=build/app.apk

It prints what the APK is as JSON, once every check of it holds. The first run downloads
what android_harness/downloads.tsv pins into the user's cache.
"""

from __future__ import annotations

import json
import pathlib
import sys

from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tflite_odl.commands import parsing, terminal
from tflite_odl.errors import OdlError
from tools.android import apk, checks

_OUT = flags.DEFINE_string("out", "build/android/app.apk", "the file to write")
_ARTIFACT = flags.DEFINE_string("artifact", None, "folder of the artifact inside")
_STREAM = flags.DEFINE_string("stream", None, "packed stream file inside")
_ABIS = flags.DEFINE_list("abis", list(apk.ABIS), "whose native libraries")


def main(arguments: list[str]) -> int:
    out = pathlib.Path(_OUT.value)
    inside = [path and pathlib.Path(path) for path in (_ARTIFACT.value, _STREAM.value)]
    try:
        apk.build(out, apk.Contents(tuple(_ABIS.value), *inside))
        print(json.dumps(checks.check(out), indent=1))
    except OdlError as error:
        text = f"{type(error).__name__}: {error}"
        terminal.console(stderr=True).out(text, style="red")
        return 2
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=parsing.parser(__name__))
