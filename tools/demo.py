"""The main job on real data, on one screen: a net meets a user it was not trained for.

A ResNet-8 learns upright digits in Keras. Its user's digits are rotated by 90 degrees
and inverted. The net becomes a `.tflite` that learns, and it learns from this user's
stream in LiteRT, with builtin ops only.
"""

from __future__ import annotations

import os
import pathlib
import resource
import sys
import tempfile
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Of a 1x1 kernel with strides oneDNN's filter gradient writes beyond its buffer (2.21).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from rich.console import Console
from rich.table import Table

from tflite_odl import streams
from tflite_odl.errors import OdlError
from tflite_odl.host import goldens, loop
from tflite_odl.host.runtimes import InterpreterRuntime
from tflite_odl.host.session import Session

_OUT = flags.DEFINE_string("out", "artifacts/demo", "where the artifact goes")
_STEPS = flags.DEFINE_integer("steps", 300, "batches of the user's stream")
USER = "digits:rotate=90,invert"
BATCH = 16


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    console = Console()
    try:
        artifact, upright = _build(console)
        _show(console, artifact, upright)
    except OdlError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 2
    return 0


def _build(console: Console) -> tuple[pathlib.Path, float]:
    """Returns the artifact's folder and the net's accuracy on upright digits."""
    import tf_keras

    from tflite_odl import models
    from tflite_odl.builtin.preprocess import Preprocessing
    from tflite_odl.exporter.export import export
    from tflite_odl.methods import Finetune

    digits = streams.open("digits")
    preprocessing = Preprocessing("uint8", digits.scale, digits.offset)
    with console.status("Keras learns upright digits"):
        tf_keras.utils.set_random_seed(0)
        model = models.backbone("resnet8", digits.input_shape, len(digits.classes))
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf_keras.optimizers.Adam(2e-3), loss, ["accuracy"])
        x, test = (preprocessing(s.x) for s in (digits.train, digits.test))
        model.fit(x, digits.train.y, 32, epochs=4, verbose=0)
        upright = model.evaluate(test, digits.test.y, verbose=0)[1]
    user = streams.open(USER)
    with console.status("export") as status:
        method = Finetune(
            model,
            classes=digits.classes,
            optimizer="momentum",
            learning_rate=0.01,
            preprocessing=preprocessing,
        )
        sample = (user.train.x[:256], user.train.y[:256])
        exported = export(method, BATCH, sample=sample, progress=status.update)
    return exported.save(_OUT.value), upright


def _show(console: Console, artifact: pathlib.Path, upright: float) -> None:
    user = streams.open(USER)
    with tempfile.TemporaryDirectory() as folder:
        with Session(artifact, checkpoint_dir=folder) as session:
            before = session.evaluate(user.test.x, user.test.y)
            start = time.perf_counter()
            run = loop.run(
                session,
                lambda at: user.train.batches(BATCH, 0, at),
                _STEPS.value,
                folder,
            )
            seconds = time.perf_counter() - start
            after = session.evaluate(user.test.x, user.test.y)
            found = session.artifact
    with InterpreterRuntime(found.model, found.manifest) as runtime:
        checked = goldens.check(runtime, found)
    rows = {
        "accuracy on upright digits, in Keras": f"{upright:.1%}",
        "this user's held-out digits, before": f"{before['accuracy']:.1%}",
        f"after {run.steps} steps in LiteRT": f"{after['accuracy']:.1%}",
        "each batch predicted before it was learned": f"{run.accuracy:.1%}",
        f"train step, batch {BATCH}, 2 threads": f"{run.ms_per_step:.2f} ms",
        "whole run, test-then-train": f"{seconds:.1f} s",
        "train step's memory, from the file": _mb(found.manifest.memory["train"]),
        "peak memory of this process, TensorFlow included": f"{_peak():.0f} MB",
        "model.tflite": f"{len(found.model) / 1e3:.0f} kB",
        "of it state": f"{found.manifest.sizes['state'] / 1e3:.0f} kB",
        "Flex ops": str(loop.flex_ops(found.manifest)),
        "golden outputs reproduced": f"{sum(r.passed for r in checked)}/{len(checked)}",
        "artifact": str(artifact),
    }
    table = Table(
        show_header=False, title="ResNet-8 learns a user's rotated, inverted digits"
    )
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _mb(parts: dict[str, int]) -> str:
    return f"{parts['total'] / 1e6:.1f} MB"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(app.run(main))
