"""Builds an artifact:

python tools/convert.py --method=finetune --model=my_model.keras --out=artifacts/mine
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
_TRAINABLE = flags.DEFINE_string("trainable", "all", "all | head | last:K | REGEX")
_BATCH_NORM = flags.DEFINE_enum(
    "batch_norm", "batch", ["batch", "frozen"], "statistics trainable layers use"
)
_OPTIMIZER = flags.DEFINE_enum("optimizer", "sgd", ["sgd", "momentum", "adam"], "")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", None, "the optimizer's own if unset"
)
_CLIP_NORM = flags.DEFINE_float(
    "clip_norm", None, "largest global norm of the gradients"
)
_NOISE = flags.DEFINE_float("noise", 0.0, "uniform noise on the input in training")
_SKIP = (
    flags.DEFINE_enum(
        "policy",
        "threshold",
        ["threshold", "full", "random", "fixed", "selective", "infobatch"],
        "skip: the method itself, or a baseline",
    ),
    flags.DEFINE_float("error_bound", 0.05, "skip: largest relative squared error"),
    flags.DEFINE_integer("intervals", 20, "skip: of the confidence"),
    flags.DEFINE_integer(
        "update_period", None, "skip: steps between decisions, an epoch or 200 if unset"
    ),
    flags.DEFINE_integer("warm_up", 0, "skip: steps before anything is skipped"),
    flags.DEFINE_enum(
        "confidence", "true_label", ["true_label", "max"], "skip: which probability"
    ),
    flags.DEFINE_enum(
        "gradient_ends", "head", ["head", "probe"], "skip: how gradients are sized"
    ),
    flags.DEFINE_float(
        "keep_skipped", 0.0, "skip: fraction of skipped rows kept at random"
    ),
    flags.DEFINE_enum(
        "divide", None, ["batch", "kept"], "skip: the gradient, by these rows"
    ),
    flags.DEFINE_enum(
        "norm_means",
        "kept",
        ["kept", "batch"],
        "skip: rows that batch norms' backward means are divided by",
    ),
    flags.DEFINE_enum(
        "forward",
        "auto",
        ["auto", "shared", "recompute"],
        "skip: gather kept rows' activations, or make them again",
    ),
    flags.DEFINE_float("skip_rate", 0.5, "skip: of random, selective, infobatch"),
    flags.DEFINE_float("fixed_threshold", 0.9, "skip: of the policy fixed"),
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "rows of a train call")
_INFER_BATCH_SIZE = flags.DEFINE_integer("infer_batch_size", 1, "rows of an infer call")
_TARGET = flags.DEFINE_enum(
    "target", "portable", ["portable", "avx512"], "what the lowerings are chosen for"
)
_PLAN = flags.DEFINE_string("plan", None, "JSON file {node: lowering}, or a manifest")
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
    dataset = _open_dataset()
    model, classes = _model(dataset, console)
    method = methods.METHODS[_METHOD.value](
        model,
        classes=classes,
        choices=_choices(),
        trainable=_TRAINABLE.value,
        batch_norm=_BATCH_NORM.value,
        optimizer=_OPTIMIZER.value,
        learning_rate=_LEARNING_RATE.value,
        clip_norm=_CLIP_NORM.value,
        noise=_NOISE.value,
        target=_TARGET.value,
        seed=_SEED.value,
        preprocessing=_preprocessing(dataset),
        **(_skip_options(dataset) if _METHOD.value == "skip" else {}),
    )
    exported = export(
        method,
        _BATCH_SIZE.value,
        _INFER_BATCH_SIZE.value,
        sample=(dataset.train.x[:256], dataset.train.y[:256]) if dataset else None,
        keep_rejected=_KEEP_REJECTED.value,
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
    from tflite_odl.models.load import load

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


def _skip_options(dataset) -> dict:
    options = {flag.name: flag.value for flag in _SKIP}
    if options["update_period"] is None:
        rows = len(dataset.train) if dataset else 200 * _BATCH_SIZE.value
        options["update_period"] = max(1, rows // _BATCH_SIZE.value)
    return options


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
