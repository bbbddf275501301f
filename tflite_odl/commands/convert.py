"""Builds an artifact:

tflite-odl convert --method=finetune --model=my_model.keras --out=artifacts/mine
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
import warnings
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from rich.console import Console

from tflite_odl import methods, signing
from tflite_odl.commands import method_flags, parsing, quiet, terminal
from tflite_odl.errors import OdlError

_METHOD = flags.DEFINE_enum(
    "method", "finetune", list(methods.REGISTERED), "what it learns by"
)
_BACKBONE = flags.DEFINE_string(
    "backbone", None, "a net of tflite_odl/models, untrained"
)
_NORM = flags.DEFINE_enum(
    "norm", "batch", ["batch", "group"], "normalization of a --backbone"
)
_MODEL = flags.DEFINE_string("model", None, "your Keras model: .keras, .h5, SavedModel")
_NUM_CLASSES = flags.DEFINE_integer(
    "num_classes", None, "with --model: replace the last Dense by a fresh one this wide"
)
_HEAD = flags.DEFINE_string(
    "head", None, "with --num_classes: the Dense to replace, where several could be"
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "with --model: learn by this output alone, of several"
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "gives dtype, class names and the rows to prove with; input shape and scaling of a "
    "--backbone",
)
_STREAM = flags.DEFINE_string(
    "stream",
    "sequential",
    "order of the dataset's rows to prove with: iid, tracks, ...",
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "checkpoint, or folder of a run: its weights go into the model where names and "
    "shapes agree",
)
_INPUT_SHAPE = flags.DEFINE_list(
    "input_shape",
    None,
    "of a row: with --backbone, without --dataset; with --model, sizes it leaves open",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "rows of a train call", lower_bound=1
)
_INFER_BATCH_SIZE = flags.DEFINE_integer(
    "infer_batch_size", 1, "rows of an infer call", lower_bound=1
)
_PLAN = flags.DEFINE_string("plan", None, "JSON file {node: lowering}, or a manifest")
_TUNE = flags.DEFINE_boolean(
    "tune", False, "choose lowerings by measuring them in LiteRT on this machine"
)
_MEMORY_LIMIT = flags.DEFINE_float(
    "memory_limit_mb",
    None,
    "most memory a train call may take; refused above it",
    lower_bound=0.0,
    upper_bound=1e9,
)
_CACHE = flags.DEFINE_boolean(
    "cache", True, "take layers as proven that were proven on this machine before"
)
_QUANTIZE = flags.DEFINE_string(
    "quantize",
    "float32",
    "recipe: float32 | int8_backbone (what is frozen) | of the twin: int8_serve,"
    " int8_weights, float16, int4_dense, int2_dense | of the weights: pruned50,"
    " pruned80, clustered16, pruned80_clustered16_int8",
)
_CALIBRATE = flags.DEFINE_string(
    "calibrate",
    None,
    "dataset whose rows find the ranges of what is int8; --dataset if unset",
)
_COMPRESS_STEPS = flags.DEFINE_integer(
    "compress_steps", 500, "steps on --dataset for each of pruning and clustering"
)
_QAT_STEPS = flags.DEFINE_integer(
    "qat_steps", 0, "steps on --dataset with TF-MOT's fake quantization, before export"
)
_SERVE = flags.DEFINE_boolean(
    "serve", True, "also write serve.tflite, the serving twin that bake fills"
)
_SIGN = flags.DEFINE_string(
    "sign", None, "PEM file of an Ed25519 private key that signs the artifact"
)
_OLDEST_RUNTIME = flags.DEFINE_string(
    "oldest_runtime",
    None,
    "LiteRT on which the golden calls must hold, too, such as 1.0.1; set up if need be",
)
_OUT = flags.DEFINE_string("out", None, "the artifact's folder", required=True)
_KEEP_REJECTED = flags.DEFINE_string(
    "keep_rejected", None, "folder for the artifact if the parity gate refuses it"
)
method_flags.define()

# Of a dataset, that are looked at for their largest feature.
MOST_ROWS = 4096


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    quiet.start()
    console = terminal.console(stderr=True)
    warnings.showwarning = lambda message, *_, **__: console.out(str(message))
    if len(argv) > 1:
        console.out(f"unknown arguments {argv[1:]}: this tool takes flags only")
        return 2
    try:
        with console.status("load") as status:
            summary = _convert(lambda stage: status.update(stage), console)
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        console.out("nothing was written")
        return 2
    print(json.dumps(summary))
    return 0


def _convert(progress, console: Console) -> dict:
    from tflite_odl.desk import older
    from tflite_odl.exporter.export import export
    from tflite_odl.host import checkpoint
    from tflite_odl.proof.cache import Cache
    from tflite_odl.reading import weights

    start = time.perf_counter()
    if _SIGN.value:  # before all the work
        signing.sign(_SIGN.value, signing.MODEL, b"")
    oldest = None
    if _OLDEST_RUNTIME.value:
        oldest = older.ready(_OLDEST_RUNTIME.value, say=progress)
    dataset = _open_dataset()
    options = method_flags.options(_METHOD.value, _of_dataset(dataset))
    if dataset and not method_flags.given("feature_limit"):
        options |= _feature_limit(dataset.train.x, options["preprocessing"], console)
    model, classes = _model(dataset, options, console)
    if _WEIGHTS.value:
        given = checkpoint.tensors(_WEIGHTS.value)
        console.out(str(weights.put(getattr(model, "model", model), given)))
    model = _compressed(model, dataset, options.get("loss"), progress)
    kind = methods.METHODS[_METHOD.value]
    if _BACKBONE.value and hasattr(methods.config_class(_METHOD.value), "loss"):
        # These nets end in logits of classes.
        options.setdefault("loss", "sparse_cross_entropy")
    build = functools.partial(kind, model, classes=classes, **options)
    method = build(choices=_choices())
    for line in (_learning(method), *method.notes):
        console.out(line)
    if _SERVE.value and not method.bakes:
        console.out(f"{_METHOD.value} has no serving twin: serve.tflite is left out")
    limit = _MEMORY_LIMIT.value and int(_MEMORY_LIMIT.value * 1e6)
    if _TUNE.value:
        method = build(choices=_tuned(method, limit, progress, console))
    exported = export(
        method,
        _BATCH_SIZE.value,
        _INFER_BATCH_SIZE.value,
        sample=_sample(dataset, method),
        keep_rejected=_KEEP_REJECTED.value,
        memory_limit=limit,
        cache=Cache.usual() if _CACHE.value else Cache(None),
        serving=_SERVE.value,
        quantize=_QUANTIZE.value,
        calibrate=_calibration(dataset),
        progress=progress,
    )
    if oldest is not None:
        progress(f"prove on {oldest.name}")
        exported = older.promised(exported, oldest, _OLDEST_RUNTIME.value)
    folder = exported.save(_OUT.value, _SIGN.value)
    return {
        "artifact": str(folder),
        "id": exported.manifest.artifact_id[:12],
        "bytes": exported.manifest.sizes["total"],
        "proofs": exported.manifest.proofs,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _sample(dataset, method):
    """Returns (x, y), rows to prove the artifact with; None without a data set, or if
    its one label for each row is not enough."""
    if dataset is None or len(getattr(method, "endings", ())) > 1:
        return None
    size = min(len(dataset.train), 256)
    return next(dataset.train.batches(size, order=_STREAM.value))


def _compressed(model, dataset, loss: str | None, progress):
    """Returns the model pruned, clustered or trained with fake quantization, if asked.

    Raises:
      ExportError: without labelled rows, or of a loss over other labels.
    """
    from tflite_odl.errors import ExportError
    from tflite_odl.exporter.compress import Teaching, compressed
    from tflite_odl.exporter.recipes import recipe
    from tflite_odl.reading.load import LoadedModel

    chosen = recipe(_QUANTIZE.value)
    if not chosen.compresses and not _QAT_STEPS.value:
        return model
    if dataset is None:
        raise ExportError(
            f"--quantize={chosen.name} --qat_steps={_QAT_STEPS.value} trains the "
            "model: name labelled rows with --dataset"
        )
    plain = getattr(model, "model", model)
    teaching = Teaching.on(
        plain,
        dataset.train.x * dataset.scale + dataset.offset,
        dataset.train.y,
        loss or "sparse_cross_entropy",
        _COMPRESS_STEPS.value,
        _QAT_STEPS.value,
    )
    made = compressed(plain, chosen, teaching, progress)
    if isinstance(model, LoadedModel):
        return dataclasses.replace(model, model=made)
    return made


def _calibration(dataset):
    """Returns rows to find ranges with, None where nothing was named or is int8."""
    from tflite_odl import streams
    from tflite_odl.exporter.recipes import recipe

    if not _CALIBRATE.value and not recipe(_QUANTIZE.value).calibrated:
        return None
    source = streams.open(_CALIBRATE.value) if _CALIBRATE.value else dataset
    return source.train.x[:1024] if source else None


def _open_dataset():
    from tflite_odl import streams

    return streams.open(_DATASET.value) if _DATASET.value else None


def _model(dataset, options: dict[str, Any], console: Console):
    """Returns (what is trained, class names) from the flags and a method's options."""
    from tflite_odl import models
    from tflite_odl.builtin.preprocess import Preprocessing
    from tflite_odl.errors import ModelError
    from tflite_odl.reading.load import load
    from tflite_odl.reading.scaling import check_scaled

    classes = dataset.classes if dataset else ()
    taken = options.get("preprocessing", Preprocessing())
    if (_MODEL.value is None) == (_BACKBONE.value is None):
        raise ModelError("give either --model or --backbone")
    if _MODEL.value and _NORM.value != "batch":
        raise ModelError("--norm is of a --backbone; a --model has its own")
    if _MODEL.value:
        loaded = load(
            _MODEL.value,
            num_classes=_NUM_CLASSES.value,
            input_shape=_shape(_INPUT_SHAPE.value or ()),
            output=_OUTPUT.value,
            head_layer=_HEAD.value,
        )
        for note in loaded.notes:
            console.out(note)
        if taken.dtype == "uint8" and not method_flags.given("scale"):
            check_scaled(loaded.model)
        single = len(loaded.outputs) == 1
        fitting = single and len(classes) == loaded.num_classes
        return loaded, classes if fitting else ()
    shape = _shape(_INPUT_SHAPE.value or (dataset.input_shape if dataset else ()))
    num_classes = _NUM_CLASSES.value or len(classes)
    if not shape or not num_classes:
        raise ModelError(
            "--backbone needs --dataset, or --input_shape and --num_classes"
        )
    choices = {"seed": options.get("seed", 0), "norm": _NORM.value}
    return models.backbone(_BACKBONE.value, shape, num_classes, **choices), classes


def _shape(sizes) -> tuple[int, ...]:
    from tflite_odl.errors import ModelError

    try:
        found = tuple(map(int, sizes))
    except ValueError as error:
        raise ModelError(f"--input_shape={sizes}: needs whole numbers") from error
    if min(found, default=1) < 1:
        raise ModelError(f"--input_shape={list(found)}: needs sizes of 1 or more")
    return found


def _of_dataset(dataset) -> dict[str, Any]:
    """Returns what a dataset says of a method's options: dtype, an epoch's steps, and
    how a backbone's inputs are scaled; a user's model has its own scaling."""
    from tflite_odl.builtin.preprocess import Preprocessing

    if not dataset:
        return {}
    dtype, epoch = str(dataset.train.x.dtype), len(dataset.train) // _BATCH_SIZE.value
    scaling = () if _MODEL.value else (dataset.scale, dataset.offset)
    return {
        "preprocessing": Preprocessing(dtype, *scaling),
        "update_period": max(1, epoch),
    }


def _feature_limit(x, preprocessing, console: Console) -> dict[str, float]:
    """Returns the option by which rows far beyond a dataset's are bad rows."""
    limit = preprocessing.limit_of(x[:: -(-len(x) // MOST_ROWS)])
    if limit is None:
        return {}
    console.out(
        f"a row with a feature beyond {limit:g}, far beyond the dataset's, is a bad "
        "row: --feature_limit"
    )
    return {"feature_limit": limit}


def _tuned(method, limit, progress, console: Console) -> dict[str, str]:
    """Returns the user's choices and, for the other nodes, the fastest lowerings."""
    from tflite_odl.exporter.tune import tune

    choices, measured = tune(
        method.network.graph, memory_limit=limit, progress=progress
    )
    for node, found in measured.items():
        times = ", ".join(f"{m.lowering} {m.ms:.2f} ms" for m in found)
        console.out(f"{node}: {times}")
    return {**choices, **(_choices() or {})}


def _learning(method) -> str:
    """Returns how much of the model learns."""
    from tflite_odl.reading import freeze

    model = method.network.model
    layers = freeze.trainable_layers(model, method.config.trainable)
    return freeze.summary(model, layers)


def _choices() -> dict[str, str] | None:
    from tflite_odl.builtin import plan

    return plan.read(_PLAN.value) if _PLAN.value else None


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__, method_flags.headings))
