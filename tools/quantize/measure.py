"""One variant of one case: python -m tools.quantize.measure CASE VARIANT FOLDER QUICK

Prints what came of it as a JSON line. FOLDER keeps the pre-trained net of the case.
"""

from __future__ import annotations

import json
import pathlib
import resource
import sys
import time

import numpy as np
import tf_keras

import tflite_odl as odl
from tflite_odl import contract, streams
from tflite_odl.builtin.preprocess import Preprocessing
from tflite_odl.exporter import delivery, recipes
from tflite_odl.exporter.compress import Teaching, compressed
from tflite_odl.host import bake, service
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tools.quantize import cases

ROUNDS, LEAST_S = 20, 0.02


def main(case_name: str, variant: str, folder: str, quick: str) -> None:
    case = cases.CASES[case_name]
    kind, recipe, options = cases.VARIANTS[variant]
    chosen, user = recipes.recipe(recipe), streams.open(case.user)
    before = streams.open(case.before)
    model = _pretrained(case, pathlib.Path(folder) / f"{case_name}.h5")
    if chosen.compresses:
        x = before.train.x * before.scale + before.offset
        loss = "sparse_cross_entropy"
        teaching = Teaching.on(model, x, before.train.y, loss, 100 if quick else 500)
        model = compressed(model, chosen, teaching)
    dtype = str(user.train.x.dtype)
    method = getattr(odl.methods, kind.capitalize())(
        model,
        classes=user.classes,
        loss="sparse_cross_entropy",
        optimizer="momentum",
        learning_rate=0.01,
        preprocessing=Preprocessing(dtype, user.scale, user.offset),
        **options,
    )
    calibrate = before.train.x[:1024] if chosen.calibrated else None
    exported = odl.export(method, case.batch, quantize=recipe, calibrate=calibrate)
    path = exported.save(
        pathlib.Path(folder) / f"{case_name}-{variant}".replace(" ", "-")
    )
    print(json.dumps(_measured(path, case, user, 50 if quick else case.steps)))


def _pretrained(case: cases.Case, path: pathlib.Path) -> tf_keras.Model:
    data = streams.open(case.before)
    model = odl.models.backbone(case.backbone, data.input_shape, len(data.classes), 0)
    if path.exists():
        model.load_weights(path)
        return model
    x = data.train.x * data.scale + data.offset
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(3e-3), loss)
    model.fit(x, data.train.y, 64, case.epochs, verbose=0)
    model.save_weights(path)
    return model


def _measured(path: pathlib.Path, case: cases.Case, user, steps: int) -> dict:
    """Returns the figures of an artifact, before and after it has learned."""
    artifact, x, y = Artifact.open(path), user.test.x, user.test.y
    manifest = artifact.manifest
    twin = bake.shipped(artifact)
    found = {
        "quantization": manifest.quantization,
        "model": manifest.delivery[contract.MODEL_FILE],
        "twin": delivery.sizes({"twin": twin})["twin"],
        "twin_before": service.score(twin, manifest, {"x": x}, y),
    }
    rng = np.random.default_rng(0)
    with Session(artifact, threads=1) as session:
        found["infer_before"] = float(np.mean(session.infer(x).argmax(-1) == y))
        for _ in range(steps):
            rows = rng.integers(0, len(user.train.x), case.batch)
            session.train(x=user.train.x[rows], y=user.train.y[rows])
        found["infer_after"] = float(np.mean(session.infer(x).argmax(-1) == y))
        state = session.state()
    baked = bake.bake(artifact, state)
    times = [time.perf_counter()]
    for _ in range(5):
        bake.patched(twin, bake.Twin.from_json(manifest.serving), state)
        times.append(time.perf_counter())
    found["bake_ms"] = float(np.diff(times).min() * 1e3)
    found["twin_after"] = service.score(baked, manifest, {"x": x}, y)
    found["twin_after_bytes"] = delivery.sizes({"twin": baked})["twin"]
    found["rows"] = len(y)
    found |= _times(artifact, baked, user, case)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return found


def _times(artifact: Artifact, baked: bytes, user, case: cases.Case) -> dict:
    """Returns ms of a train step, of `infer` and of the twin, one thread, by CPU time:
    the least of interleaved rounds."""
    kind, manifest = RUNTIMES["interpreter"], artifact.manifest
    row = {"x": user.train.x[:1]}
    count = np.array([case.batch], np.int32)
    batch = {"x": user.train.x[: case.batch], "y": user.train.y[: case.batch]}
    batch |= {"count": count}
    with (
        kind(artifact.model, manifest, 1) as training,
        kind(baked, bake.manifest_of(manifest), 1) as serving,
    ):
        calls = {
            "train_ms": lambda: training.run(contract.TRAIN, batch),
            "infer_ms": lambda: training.run(contract.INFER, row),
            "twin_ms": lambda: serving.run(contract.INFER, row),
        }
        best = dict.fromkeys(calls, np.inf)
        for _ in range(ROUNDS):
            for name, call in calls.items():
                best[name] = min(best[name], _cpu_ms(call))
    return best


def _cpu_ms(call) -> float:
    call()
    start, count = time.process_time(), 0
    while time.process_time() - start < LEAST_S:
        call()
        count += 1
    return (time.process_time() - start) / count * 1e3


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4] if len(sys.argv) > 4 else "")
