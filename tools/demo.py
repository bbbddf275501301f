"""The main job on real data, on one screen: a net meets a user it was not trained for.

A ResNet-8 learns upright digits in Keras. Its user's digits are rotated by 90 degrees
and inverted. The net becomes a `.tflite` that learns, one by each method, and learns
from this user's stream in LiteRT, with builtin ops only. By `distill` it teaches a
binary twin of itself; by `contrastive` it learns without labels, and 64 labelled digits
then tell classes apart.
"""

from __future__ import annotations

import functools
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
from tflite_odl.commands import quiet, terminal
from tflite_odl.contract.names import ENROLL
from tflite_odl.desk.report import findings, page
from tflite_odl.errors import OdlError
from tflite_odl.host import goldens, journal, loop, records
from tflite_odl.host.runtimes import InterpreterRuntime
from tflite_odl.host.session import Session

_OUT = flags.DEFINE_string("out", "artifacts/demo", "where the artifacts go")
_STEPS = flags.DEFINE_integer("steps", 300, "batches of the user's stream")
USER = "digits:rotate=90,invert"
BATCH = 16
# What contrastive is given to tell classes by.
LABELS = 64


SKIP = {
    "error_bound": 0.1,
    "update_period": 20,
}
LEARNING = {"optimizer": "momentum", "learning_rate": 0.01}


def main(argv: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)
    quiet.start()
    console = terminal.console()
    try:
        model, upright = _learned(console)
        found = {name: _learns(console, model, name) for name in _methods()}
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        return 2
    report(found, upright, pathlib.Path(_OUT.value))
    return 0


def report(
    found: dict[str, dict[str, str]], upright: float, folder: pathlib.Path
) -> None:
    """Prints what each method came to.

    Args:
      found: {method: {figure: as it is shown}}.
      upright: Keras' accuracy on upright digits.
      folder: where the artifacts are.
    """
    console = terminal.console()
    table = Table(title="ResNet-8 in LiteRT learns a user's rotated, inverted digits")
    for head in ("", *found):
        table.add_column(head)
    for row in next(iter(found.values())):
        table.add_row(row, *(figures[row] for figures in found.values()))
    console.print(table)
    console.out(f"Keras on upright digits: {upright:.1%}. Artifacts: {folder}")
    pages = ", ".join(str(_page(folder / name)) for name in found)
    console.out(f"Reports to look at: {pages}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.out(f"Peak memory of this process, TensorFlow included: {peak:.0f} MB")


def _methods() -> dict:
    from tflite_odl.builtin.augment import ImageAugmentation
    from tflite_odl.methods import Contrastive, Distill, Finetune, Skip

    # A mirrored digit is another one, and these have no colours.
    views = ImageAugmentation(area=(0.4, 1.0), flip=0, strength=0, grey=0)
    return {
        "finetune": functools.partial(Finetune, **LEARNING),
        "skip": functools.partial(Skip, **SKIP, **LEARNING),
        "distill": functools.partial(Distill, optimizer="adam", learning_rate=0.003),
        "contrastive": functools.partial(Contrastive, images=views, **LEARNING),
    }


def _preprocessing():
    from tflite_odl.builtin.preprocess import Preprocessing

    digits = streams.open("digits")
    return Preprocessing("uint8", digits.scale, digits.offset)


def _learned(console: Console) -> tuple:
    """Returns (a Keras model of upright digits, its accuracy on held-out ones)."""
    import tf_keras

    from tflite_odl import models

    digits = streams.open("digits")
    with console.status("Keras learns upright digits"):
        tf_keras.utils.set_random_seed(0)
        model = models.backbone("resnet8", digits.input_shape, len(digits.classes))
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf_keras.optimizers.Adam(2e-3), loss, ["accuracy"])
        x, test = (_preprocessing()(s.x) for s in (digits.train, digits.test))
        model.fit(x, digits.train.y, 32, epochs=4, verbose=0)
        return model, model.evaluate(test, digits.test.y, verbose=0)[1]


def _learns(console: Console, model, name: str) -> dict[str, str]:
    """Exports the model by a method, lets the artifact learn; returns its figures."""
    from tflite_odl.exporter.export import export

    user = streams.open(USER)
    with console.status(f"{name}: export") as status:
        method = _methods()[name](
            model,
            classes=user.classes,
            preprocessing=_preprocessing(),
        )
        sample = (user.train.x[:256], user.train.y[:256])
        say = lambda stage: status.update(f"{name}: {stage}")  # noqa: E731
        exported = export(method, BATCH, sample=sample, progress=say)
        artifact = exported.save(pathlib.Path(_OUT.value) / name)
        status.update(f"{name}: {_STEPS.value} steps in LiteRT")
        return _figures(artifact)


def _figures(artifact: pathlib.Path) -> dict[str, str]:
    user = streams.open(USER)
    with tempfile.TemporaryDirectory() as folder:
        with Session(artifact, checkpoint_dir=folder) as session:
            if ENROLL in session.manifest.signatures:
                session.enroll(x=user.train.x[:LABELS], y=user.train.y[:LABELS])
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
            skipped = int(session.state().get("skipped_total", [0])[0])
            found = session.artifact
        told = list(journal.read(pathlib.Path(folder) / records.RECORDS))
    with InterpreterRuntime(found.model, found.manifest) as runtime:
        checked = goldens.check(runtime, found)
    whole = {"passed": sum(r.passed for r in checked), "all": len(checked)}
    page.write(
        findings.Findings(
            artifact=findings.about(found),
            device={},
            dataset=USER,
            before=before,
            after=after,
            curves=findings.curves(told),
            goldens=whole,
        ),
        _page(artifact),
    )
    memory = found.manifest.memory["train"]["total"]
    predicted, labels = "-", LABELS
    if run.accuracy is not None:
        predicted, labels = f"{run.accuracy:.1%}", run.steps * BATCH
    return {
        "this user's held-out digits, before": f"{before['accuracy']:.1%}",
        f"after {_STEPS.value} batches of {BATCH} digits": f"{after['accuracy']:.1%}",
        "each batch predicted before it was learned": predicted,
        "labels that it was given": str(labels),
        "rows not back-propagated": f"{skipped / (run.steps * BATCH):.0%}",
        "train step, median, 2 threads": f"{run.ms_per_step:.2f} ms",
        "whole run, test-then-train": f"{seconds:.1f} s",
        "train step's memory, from the file": f"{memory / 1e6:.1f} MB",
        "model.tflite": f"{len(found.model) / 1e3:.0f} kB",
        "of it state": f"{found.manifest.sizes['state'] / 1e3:.0f} kB",
        "Flex ops": str(loop.flex_ops(found.manifest)),
        "golden outputs reproduced": f"{whole['passed']}/{whole['all']}",
    }


def _page(artifact: pathlib.Path) -> pathlib.Path:
    """Returns where the report on an artifact's run lies."""
    return artifact.with_suffix(".html")


if __name__ == "__main__":
    sys.exit(app.run(main))
