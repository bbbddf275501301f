"""What a call costs beside its work: `Session.train` on an artifact that does nothing.

overhead.py prints a JSON line, [{"runtime", "input_kb", "call_us", ...}, ...].
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tflite_odl.contract import TRAIN, Manifest, Signature, TensorSpec
from tflite_odl.exporter import artifact
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session

SHAPES = ((16, 1), (16, 32, 32, 3), (16, 96, 96, 3))
REPEATS, CALLS = 9, 300


def main() -> None:
    rows = []
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            idle = _write(f"{folder}/idle", shape)
            rows += [_row(idle, runtime, shape) for runtime in RUNTIMES]
    print(json.dumps(rows))


def _row(idle: str, runtime: str, shape: tuple[int, ...]) -> dict:
    """Returns times in microseconds; `overhead_us` is the call without copying x."""
    x, y = np.zeros(shape, np.float32), np.zeros(shape[0], np.int32)
    target = np.empty_like(x)
    with Session(idle, runtime, threads=1) as session:
        call = _least_us(lambda: session.train(x=x, y=y))
    copy = _least_us(lambda: np.copyto(target, x))
    times = {"call_us": call, "copy_us": copy, "overhead_us": call - copy}
    return {"runtime": runtime, "input_kb": x.nbytes / 1e3, **times}


def _least_us(call: Callable[[], object]) -> float:
    """Returns the least of some means over many calls: what they cost undisturbed."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
    return min(times)


def _write(folder: str, shape: tuple[int, ...]) -> str:
    """Writes an artifact whose only signature, `train`, hardly looks at its inputs."""
    inputs = (
        TensorSpec("x", "float32", shape, "feature"),
        TensorSpec("y", "int32", shape[:1], "label"),
        TensorSpec("count", "int32", (1,), "count"),
    )
    loss = TensorSpec("loss", "float32", (1,))

    def train(x, y, count):
        first = tf.slice(x, [0] * len(shape), [1] * len(shape))
        return {"loss": tf.reshape(first, [1]) + tf.cast(y[:1] + count, tf.float32)}

    module = tf.Module()
    wanted = [tf.TensorSpec(s.shape, s.dtype, s.name) for s in inputs]
    module.train = tf.function(train, input_signature=wanted)
    signatures = {TRAIN: module.train.get_concrete_function()}
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures)
        model = tf.lite.TFLiteConverter.from_saved_model(saved).convert()
    about = {TRAIN: Signature(TRAIN, inputs, (loss,))}
    manifest = Manifest(artifact.artifact_id(model), {"name": "idle"}, about, ())
    artifact.write(folder, model, manifest)
    return folder


if __name__ == "__main__":
    main()
