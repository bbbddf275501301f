"""One design, saved by either Keras, learned from, and compared with that Keras' step:

python -m tools.coverage.measure_design NAME FOLDER

Prints its figures by Keras as a JSON line; a file that fails has its cause in them.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import sys
import time
import warnings
from typing import Any

import tf_keras

import tflite_odl as odl
from tflite_odl.errors import OdlError
from tflite_odl.exporter import artifact as artifacts
from tflite_odl.exporter.build import build
from tools.coverage import steps
from tools.coverage.designs import DESIGNS, FLAVOURS, Design, Kit


def main(name: str, folder: str) -> None:
    warnings.simplefilter("ignore")  # notes of what is left out
    found = {}
    for flavour in FLAVOURS:
        where = pathlib.Path(folder) / f"{name}.{flavour}"
        where.mkdir(parents=True, exist_ok=True)
        try:
            found[flavour] = _measured(DESIGNS[name], flavour, where)
        except OdlError as error:
            found[flavour] = {"cause": f"{type(error).__name__}: {error}"}
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            # Not one of ours: a bug, or the Keras itself cannot save or load it.
            found[flavour] = {"cause": f"unexpected {type(error).__name__}: {error}"}
    print(json.dumps(found), flush=True)


def _measured(design: Design, flavour: str, where: pathlib.Path) -> dict[str, Any]:
    api = importlib.import_module(flavour)
    stock = _saved(design, Kit(api), where / "stock.keras")
    begin = time.perf_counter()
    method, artifact = _exported(stock, design, where / "stock")
    seconds = time.perf_counter() - begin
    quiet = _saved(design, Kit(api, quiet=True), where / "quiet.keras")
    if _config(api, quiet) != _config(api, stock):
        method, artifact = _built(quiet, design, where / "quiet")
    rows = steps.batch(design, api.models.load_model(quiet))
    found = steps.compare(api, quiet, method, artifact, rows)
    found |= {"parameters": method.source_model.count_params(), "seconds": seconds}
    if found["error"] > found["limit"] or found["loss_error"] > found["limit"]:
        found["cause"] = (
            f"another step than Keras': off by {found['error']:.1e}, the loss by "
            f"{found['loss_error']:.1e}, limit {found['limit']:.1e}"
        )
    return found


def _saved(design: Design, kit: Kit, path: pathlib.Path) -> pathlib.Path:
    importlib.import_module("keras").utils.clear_session()
    tf_keras.backend.clear_session()
    kit.api.utils.set_random_seed(0)
    design.build(kit).save(path)
    return path


def _exported(path: pathlib.Path, design: Design, out: pathlib.Path):
    """Returns (the method, the artifact's folder): as the file was compiled."""
    method = odl.methods.Finetune(odl.load(path))
    return method, odl.export(method, design.batch).save(out)


def _built(path: pathlib.Path, design: Design, out: pathlib.Path):
    """Returns the same without a proof: its step is held against Keras' own here."""
    method = odl.methods.Finetune(odl.load(path))
    return method, artifacts.write(out, *build(method, design.batch, 1))


def _config(api: Any, path: pathlib.Path) -> Any:
    return api.models.load_model(path, compile=False).get_config()


if __name__ == "__main__":
    main(*sys.argv[1:])
