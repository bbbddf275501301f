"""Older LiteRTs, each in an environment of its own, and what is promised of them.

A phone's runtime is older than this desk's, and XNNPACK has been wrong before without
an error: what an artifact promises of a runtime has been run there.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import pathlib
import re
import sys
import tempfile
import venv
from collections.abc import Callable
from typing import TYPE_CHECKING

from tflite_odl.desk import setups
from tflite_odl.desk.places import Place, run
from tflite_odl.errors import DeviceError, ExportError
from tflite_odl.host import goldens

if TYPE_CHECKING:  # it needs TensorFlow, which a phone's side has not
    from tflite_odl.exporter.export import Exported

# The first LiteRT whose wheels are built for NumPy 2.
NUMPY_2 = (1, 2)
# Every one that differs in its kernels from its neighbours, for `make test-runtimes`.
KNOWN = ("1.0.1", "1.2.0", "1.4.0", "2.0.2", "2.1.6", "2.2.0")
# Failures named in a message.
MOST_NAMED = 3
PYTHON = "bin/python"
QUIET = ("-q", "--disable-pip-version-check", "--only-binary=:all:")


def usual_home(version: str, cache: str | os.PathLike | None = None) -> pathlib.Path:
    """Returns the folder for it in a cache: `$XDG_CACHE_HOME`, or `~/.cache`."""
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return setups.usual(f"litert-{version}-{python}", cache)


def ready(
    version: str,
    home: pathlib.Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Place:
    """Returns the place of an older LiteRT, set up if need be: 80 MB, some seconds.

    Args:
      version: of the wheel ai-edge-litert, such as 1.0.1.
      home: where it is or shall be; None takes `usual_home`.
      say: told what is being done, if anything.

    Raises:
      DeviceError: there is no such wheel for this Python; says which there are.
    """
    if not re.fullmatch(r"\d+(\.\d+){1,3}", version):
        raise DeviceError(f"runtime {version!r}: needs a LiteRT version such as 1.0.1")
    home = home or usual_home(version)
    if not home.is_dir():
        say(f"set up LiteRT {version} in {home}")
    setups.made(home, functools.partial(_make, version))
    return Place(f"LiteRT {version}", (str(home / PYTHON),))


def _make(version: str, home: pathlib.Path) -> None:
    """Makes an environment of this Python with the wheel and what reads a job."""
    venv.create(home, clear=True, symlinks=True)
    numbers = tuple(map(int, version.split(".")))
    wanted = [
        f"ai-edge-litert=={version}",
        f"safetensors=={importlib.metadata.version('safetensors')}",
        *(["numpy<2"] if numbers < NUMPY_2 else []),
    ]
    command = [sys.executable, "-m", "pip", "--python", str(home / PYTHON), "install"]
    run(f"LiteRT {version}", [*command, *QUIET, *wanted])


def promised(exported: Exported, place: Place, version: str) -> Exported:
    """Returns the artifact with its promise to run on an older LiteRT.

    Its golden calls are made there, and those of its serving twin.

    Args:
      exported: proven here.
      place: as `ready` returns it.
      version: of that LiteRT.

    Raises:
      ExportError: a call gives other numbers there, or none.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = exported.save(pathlib.Path(folder) / "artifact")
        try:
            results = place.prove(saved)
        except DeviceError as error:
            raise ExportError(
                f"the artifact does not run on LiteRT {version}: {error}"
            ) from error
    off = [result for result in results if not result.passed]
    if off:
        raise ExportError(
            f"LiteRT {version} computes other numbers in {len(off)} of {len(results)} "
            f"golden outputs: {'; '.join(map(_told, off[:MOST_NAMED]))}"
        )
    manifest = exported.manifest
    largest = max(result.error for result in results)
    found = {"version": version, "outputs": len(results), "largest_error": largest}
    manifest = dataclasses.replace(
        manifest,
        versions={**manifest.versions, "oldest_runtime": version},
        proofs={**manifest.proofs, "oldest_runtime": found},
    )
    return dataclasses.replace(exported, manifest=manifest)


def _told(result: goldens.Result) -> str:
    output = f"{result.signature}.{result.output}"
    return f"call {result.call}, {output} is {result.error:.3g} off"
