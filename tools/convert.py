"""Builds an artifact:

python tools/convert.py --method=finetune --model=my_model.keras --out=artifacts/mine
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import learning_flags
import skip_flags
from absl import app, flags, logging
from rich.console import Console

from tflite_odl.errors import OdlError

_METHOD = flags.DEFINE_enum(
    "method", "finetune", ["finetune", "skip"], "what it learns by"
)
_BACKBONE = flags.DEFINE_string(
    "backbone", None, "a net of tflite_odl/models, untrained"
)
_MODEL = flags.DEFINE_string("model", None, "your Keras model: .keras, .h5, SavedModel")
_NUM_CLASSES = flags.DEFINE_integer(
    "num_classes", None, "with --model: replace the last Dense by a fresh one this wide"
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "gives input shape, scaling, class names and the rows to prove with",
)
_INPUT_SHAPE = flags.DEFINE_list(
    "input_shape", None, "with --backbone, without --dataset"
)
_INPUT_DTYPE = flags.DEFINE_enum(
    "input_dtype", None, ["uint8", "float32"], "as the sensor gives it"
)
_SCALE = flags.DEFINE_float("scale", None, "x * scale + offset is what the net sees")
_OFFSET = flags.DEFINE_float("offset", None, "see --scale")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "rows of a train call")
_INFER_BATCH_SIZE = flags.DEFINE_integer("infer_batch_size", 1, "rows of an infer call")
_TARGET = flags.DEFINE_enum(
    "target", "portable", ["portable", "avx512"], "what the lowerings are chosen for"
)
_CHUNK_MB = flags.DEFINE_float(
    "chunk_mb", 1.0, "larger activations train in chunks of the batch; 0 never cuts"
)
_PLAN = flags.DEFINE_string("plan", None, "JSON file {node: lowering}, or a manifest")
_TUNE = flags.DEFINE_boolean(
    "tune", False, "choose lowerings by measuring them in LiteRT on this machine"
)
_MEMORY_LIMIT = flags.DEFINE_float(
    "memory_limit_mb", None, "most memory a train call may take; refused above it"
)
_SEED = flags.DEFINE_integer("seed", 0, "of fresh weights and of the random generator")
_OUT = flags.DEFINE_string("out", None, "the artifact's folder", required=True)
_KEEP_REJECTED = flags.DEFINE_string(
    "keep_rejected", None, "folder for the artifact if the parity gate refuses it"
)


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console(stderr=True)
    if len(argv) > 1:
        console.print(f"unknown arguments {argv[1:]}: this tool takes flags only")
        return 2
    try:
        with console.status("load") as status:
            summary = _convert(lambda stage: status.update(stage), console)
    except OdlError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        console.print("nothing was written", markup=False)
        return 2
    print(json.dumps(summary))
    return 0


def _convert(progress, console: Console) -> dict:
    from tflite_odl import methods
    from tflite_odl.exporter.export import export

    start = time.perf_counter()
    learning = learning_flags.options()
    dataset = _open_dataset()
    model, classes = _model(dataset, console)
    own = {}
    if _METHOD.value == "skip":
        rows = len(dataset.train) if dataset else None
        own = skip_flags.options(rows, _BATCH_SIZE.value)
    build = functools.partial(
        methods.METHODS[_METHOD.value],
        model,
        classes=classes,
        **learning,
        target=_TARGET.value,
        chunk_mb=_CHUNK_MB.value,
        seed=_SEED.value,
        preprocessing=_preprocessing(dataset),
        **own,
    )
    method = build(choices=_choices())
    limit = _MEMORY_LIMIT.value and int(_MEMORY_LIMIT.value * 1e6)
    if _TUNE.value:
        method = build(choices=_tuned(method, limit, progress, console))
    exported = export(
        method,
        _BATCH_SIZE.value,
        _INFER_BATCH_SIZE.value,
        sample=(dataset.train.x[:256], dataset.train.y[:256]) if dataset else None,
        keep_rejected=_KEEP_REJECTED.value,
        memory_limit=limit,
        progress=progress,
    )
    folder = exported.save(_OUT.value)
    return {
        "artifact": str(folder),
        "id": exported.manifest.artifact_id[:12],
        "bytes": exported.manifest.sizes["total"],
        "proofs": exported.manifest.proofs,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _open_dataset():
    from tflite_odl import streams

    return streams.open(_DATASET.value) if _DATASET.value else None


def _model(dataset, console: Console):
    """Returns (Keras model, class names) from the flags."""
    from tflite_odl import models
    from tflite_odl.errors import ModelError
    from tflite_odl.reading.load import load

    classes = dataset.classes if dataset else ()
    if (_MODEL.value is None) == (_BACKBONE.value is None):
        raise ModelError("give either --model or --backbone")
    if _MODEL.value:
        loaded = load(_MODEL.value, num_classes=_NUM_CLASSES.value)
        for note in loaded.notes:
            console.print(note, markup=False)
        outputs = loaded.model.output_shape[-1]
        return loaded.model, classes if len(classes) == outputs else ()
    shape = tuple(
        map(int, _INPUT_SHAPE.value or (dataset.input_shape if dataset else ()))
    )
    num_classes = _NUM_CLASSES.value or len(classes)
    if not shape or not num_classes:
        raise ModelError(
            "--backbone needs --dataset, or --input_shape and --num_classes"
        )
    return models.backbone(_BACKBONE.value, shape, num_classes, _SEED.value), classes


def _preprocessing(dataset):
    from tflite_odl.builtin.preprocess import Preprocessing

    found = {"dtype": "float32", "scale": 1.0, "offset": 0.0}
    if dataset:
        found = {
            "dtype": str(dataset.train.x.dtype),
            "scale": dataset.scale,
            "offset": dataset.offset,
        }
    given = {"dtype": _INPUT_DTYPE, "scale": _SCALE, "offset": _OFFSET}
    found |= {
        name: flag.value for name, flag in given.items() if flag.value is not None
    }
    return Preprocessing(**found)


def _tuned(method, limit, progress, console: Console) -> dict[str, str]:
    """Returns the user's choices and, for the other nodes, the fastest lowerings."""
    from tflite_odl.exporter.tune import tune

    choices, measured = tune(
        method.network.graph, memory_limit=limit, progress=progress
    )
    for node, found in measured.items():
        times = ", ".join(f"{m.lowering} {m.ms:.2f} ms" for m in found)
        console.print(f"{node}: {times}", markup=False, highlight=False)
    return {**choices, **(_choices() or {})}


def _choices() -> dict[str, str] | None:
    from tflite_odl.errors import ModelError

    if not _PLAN.value:
        return None
    try:
        with open(_PLAN.value) as file:
            content = json.load(file)
        return dict(content.get("plan", content))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"--plan={_PLAN.value} is not a plan: {error}") from error


if __name__ == "__main__":
    sys.exit(app.run(main))
