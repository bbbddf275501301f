"""Artifacts, and each seed's first weights: what needs TensorFlow, made once.

python -m tools.contrastive.sources FOLDER CASE ARM SEEDS
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

import numpy as np

from tflite_odl import models, streams
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter.export import export
from tflite_odl.methods import Contrastive
from tools.contrastive import cases

# Rows of one infer call: embeddings of whole splits are asked for.
INFER_ROWS = 32
RATE = 0.03


def main(folder: str, case: str, arm: str, seeds: str) -> None:
    """Makes an arm's artifact, and the weights of so many seeds, unless they are there.

    Prints {} when all is there.
    """
    chosen = cases.CASES[case]
    one = next(a for a in chosen.arms if a.name == arm)
    place = pathlib.Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    path = place / one.artifact
    if not path.exists():
        made = method(chosen, one)
        train = streams.open(chosen.dataset).train
        sample = next(train.batches(256, order="iid"))
        export(made, one.batch, INFER_ROWS, sample=sample, serving=False).save(path)
        salt = {"draw": made.replay.salts["draw"]}
        (place / f"{one.artifact}.json").write_text(json.dumps(salt))
    for seed in range(int(seeds)):
        _weights(place / f"weights-{seed}.npz", chosen, one, seed)
    print("{}")


def _weights(path: pathlib.Path, case: cases.Case, arm: cases.Arm, seed: int) -> None:
    if path.exists():
        return
    fresh = method(case, arm, seed).state()
    part = path.with_suffix(f".{os.getpid()}.npz")
    weights = {n: t.value for n, t in fresh.items() if t.spec.role == "weight"}
    np.savez(part, **weights)
    os.replace(part, path)


def method(case: cases.Case, arm: cases.Arm, seed: int = 0) -> Contrastive:
    data = streams.open(case.dataset)
    shape = tuple(data.train.x.shape[1:])
    net = models.backbone(case.backbone, shape, len(data.classes), seed, norm=case.norm)
    taken = Preprocessing(str(data.train.x.dtype), data.scale, data.offset)
    return Contrastive(
        net,
        optimizer="momentum",
        learning_rate=RATE,
        preprocessing=taken,
        seed=seed,
        **dict(arm.options),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
