"""Teachers, artifacts and each seed's first weights: made once, with TensorFlow.

    python -m tools.distill.sources FOLDER TEACHERS CASE SEEDS ARMS

Artifacts are converted without the gate, which the tests run on every kind of arm.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import sys

import numpy as np

from tflite_odl import models
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.methods import Distill, Finetune
from tflite_odl.methods.base import Method
from tflite_odl.streams.dataset import Split
from tools.distill import cases
from tools.distill.rows import Rows, of_case

TEACHER, ABOUT = "teacher.h5", "teacher.json"
TEACHER_RATE, TEACHER_BATCH = 2e-3, 32
LOSS = "sparse_cross_entropy"


def main(folder: str, teachers: str, name: str, seeds: str, arms: str) -> None:
    place, case = pathlib.Path(folder), cases.CASES[name]
    chosen = [arm for arm in case.arms if arm.name in arms.split(";")]
    case = dataclasses.replace(case, arms=tuple(chosen))
    place.mkdir(parents=True, exist_ok=True)
    rows = of_case(case)
    if not (place / ABOUT).exists():
        take_teacher(pathlib.Path(teachers), place, case, rows)
    for arm in case.artifacts:
        if not (place / arm.artifact).exists():
            convert(place, case, arm, rows)
    for seed in range(int(seeds)):
        path = place / f"weights-{seed}.npz"
        if not path.exists():
            fresh = method(place, case, _WHOLE, rows, seed).state()
            weights = {n: t.value for n, t in fresh.items() if t.spec.role == "weight"}
            part = path.with_suffix(".part.npz")
            np.savez(part, **weights)
            os.replace(part, path)
    print(json.dumps(json.loads((place / ABOUT).read_text())))


# Its state has every weight of the others.
_WHOLE = cases.ONLINE[1]


def net(case: cases.Case, rows: Rows, seed: int, teacher: bool = False):
    """Returns the Keras model of a case's student, or of its frozen teacher."""
    name = case.teacher if teacher else case.backbone
    width = case.teacher_width if teacher else case.width
    options = {"width": width} if width else {}
    shape = rows.test.x.shape[1:]
    return models.backbone(name, shape, len(rows.classes), seed, **options)


def take_teacher(
    teachers: pathlib.Path, place: pathlib.Path, case: cases.Case, rows: Rows
) -> None:
    """Puts the case's frozen teacher into its folder, trained if no other case has done
    so, and notes how often it is right on the case's held-out rows."""
    import tf_keras

    path = teachers / f"{case.taught}.h5"
    if not path.exists():
        teachers.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.h5")
        trained_teacher(case, rows).save(part)
        os.replace(part, path)
    shutil.copyfile(path, place / TEACHER)
    model = tf_keras.models.load_model(path, compile=False)
    right = model.predict(_taken(rows, rows.test), 256, verbose=0).argmax(1)
    accuracy = float(np.mean(right == rows.test.y))
    steps = teacher_steps(case, rows)
    about = {"net": case.teacher, "accuracy": accuracy, "steps": steps}
    (place / ABOUT).write_text(json.dumps(about))


def trained_teacher(case: cases.Case, rows: Rows):
    """Returns the frozen teacher, trained in Keras."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = net(case, rows, 100, teacher=True)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    steps = teacher_steps(case, rows)
    rate = tf_keras.optimizers.schedules.CosineDecay(TEACHER_RATE, steps)
    model.compile(tf_keras.optimizers.Adam(rate), loss)
    x = _taken(rows, rows.taught)
    model.fit(x, rows.taught.y, TEACHER_BATCH, case.teacher_epochs, verbose=0)
    return model


def teacher_steps(case: cases.Case, rows: Rows) -> int:
    return case.teacher_epochs * (len(rows.taught) // TEACHER_BATCH)


def _preprocessing(rows: Rows) -> Preprocessing:
    return Preprocessing(str(rows.test.x.dtype), rows.scale, rows.offset)


def _taken(rows: Rows, split: Split) -> np.ndarray:
    """Returns the features as a net reads them."""
    return np.asarray(_preprocessing(rows)(split.x))


def method(
    place: pathlib.Path, case: cases.Case, arm: cases.Arm, rows: Rows, seed: int = 0
) -> Method:
    """Returns what an arm's artifact is made of."""
    model = net(case, rows, seed)
    common = {
        "optimizer": "adam",
        "learning_rate": case.learning_rate,
        "preprocessing": _preprocessing(rows),
        "classes": rows.classes,
    }
    if arm.real:
        return Finetune(model, loss=LOSS, **common)
    options = {"teacher": str(place / TEACHER), **dict(arm.options)}
    return Distill(model, student="binary", **options, **common)


def convert(place: pathlib.Path, case: cases.Case, arm: cases.Arm, rows: Rows) -> None:
    """Writes an arm's artifact."""
    from tflite_odl.exporter import artifact
    from tflite_odl.exporter.build import build

    model, manifest = build(method(place, case, arm, rows), case.batch, 1)
    artifact.write(place / arm.artifact, model, manifest)


if __name__ == "__main__":
    main(*sys.argv[1:])
