"""Artifacts, and each seed's first weights: what needs TensorFlow, made once."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np

from tflite_odl import models, streams
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter.export import export
from tflite_odl.methods import Finetune, Skip
from tflite_odl.methods.base import Method
from tflite_odl.methods.skip.config import PUBLISHED
from tools.skip import cases


def prepare(
    folder: pathlib.Path, case: cases.Case, seeds: int, say: Callable[[str], None]
) -> None:
    """Makes what a case trains, unless it is there.

    Args:
      folder: of the case's net, for one state of the library.
      case: what is trained.
      seeds: how many.
      say: called with one line of progress at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for variant in case.variants:
        path = folder / variant.artifact
        if not path.exists():
            say(f"export {case.net} {variant.artifact}")
            train = streams.open(case.dataset).train
            sample = train.x[:256], train.y[:256]
            export(method(case, variant), case.batch, sample=sample).save(path)
    for seed in range(seeds):
        path = folder / f"weights-{seed}.npz"
        if not path.exists():
            fresh = method(case, cases.ALL[0], seed).state()
            part = path.with_suffix(".part.npz")
            np.savez(part, **{n: t.value for n, t in fresh.items() if _is_weight(t)})
            os.replace(part, path)


def method(case: cases.Case, variant: cases.Variant, seed: int = 0) -> Method:
    """Returns what is exported: `finetune` for the variant that skips nothing."""
    data = streams.open(case.dataset)
    shape = tuple(data.train.x.shape[1:])
    width = {"width": case.width} if case.width else {}
    net = models.backbone(case.backbone, shape, len(data.classes), seed, **width)
    taken = Preprocessing(str(data.train.x.dtype), data.scale, data.offset)
    rate = case.learning_rate
    common = {"optimizer": "momentum", "learning_rate": rate, "preprocessing": taken}
    if variant.name == cases.PLAIN:
        return Finetune(net, loss="sparse_cross_entropy", **common)
    options = {**PUBLISHED, **dict(variant.options)}
    return Skip(net, policy=variant.policy, **options, **common)


def _is_weight(tensor) -> bool:
    return tensor.spec.role == "weight"
