"""Runs an artifact through LiteRT on a stream, as the phone will:

tflite-odl emulate artifacts/finetune --dataset=digits --steps=300 --out=runs/x
tflite-odl emulate artifacts/finetune --device=low_end --faults=kill=3 --count \
    --parity=20 --report=runs/x/report.html --out=runs/x
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import resource
import signal
from typing import Any

from absl import app, flags
from rich.console import Console
from rich.progress import Progress

from tflite_odl import contract, files, streams
from tflite_odl.commands import desk, parsing, quiet, terminal
from tflite_odl.desk import app as phone_app
from tflite_odl.desk import phone
from tflite_odl.desk.report.findings import Findings, about, curves, described
from tflite_odl.errors import ContractError, DataError, OdlError
from tflite_odl.host import journal, loop, probe, records
from tflite_odl.host.claim import LOCK_FILE
from tflite_odl.host.session import Session

# Before there were the flags of these names, runs went by this, as they would today.
UNSAID = {"stream": "shuffled", "unlabelled": 0.0}

_DATASET = flags.DEFINE_string("dataset", "digits", "digits[:changes] or npz:PATH")
_STEPS = flags.DEFINE_integer("steps", 300, "batches in all, also with --resume")
_OUT = flags.DEFINE_string(
    "out", None, "folder for records and checkpoints", required=True
)
_RESUME = flags.DEFINE_boolean("resume", False, "continue the run in --out")
_RUNTIME = flags.DEFINE_enum("runtime", "interpreter", ["interpreter", "compiled"], "")
_THREADS = flags.DEFINE_integer("threads", 2, "of the CPU kernels")
_SEED = flags.DEFINE_integer("seed", 0, "of the stream's order", lower_bound=0)
_EVERY = flags.DEFINE_integer("checkpoint_every", 100, "batches between checkpoints")
_TRUSTED = flags.DEFINE_string(
    "trusted", None, "PEM file of the Ed25519 public key that must have signed it"
)
_SET = flags.DEFINE_multi_string("set", [], "name=value for configure, repeatable")

_STREAM = flags.DEFINE_string(
    "stream",
    "shuffled",
    "order of the rows: iid, sequential, stc=100, blurred=0.5, concurrent=2, "
    "imbalanced=10, tracks, sessions",
)
_PROBE = flags.DEFINE_multi_float(
    "probe",
    [],
    "share of the labels that a linear probe of embeddings sees, repeatable; kNN sees "
    "all",
)
_UNLABELLED = flags.DEFINE_float(
    "unlabelled", 0.0, "fraction of the rows that are trained without their label"
)


def main(argv: list[str]) -> int:
    quiet.start()
    console = terminal.console(stderr=True)
    try:
        if len(argv) != 2:
            raise ContractError(f"give one artifact, got {argv[1:]}")
        summary = _emulate(argv[1], console)
    except OdlError as error:
        console.out(f"{type(error).__name__}: {error}", style="red")
        return 2
    print(json.dumps(summary))
    return 130 if summary["interrupted"] else 0


def _emulate(artifact: str, console: Console) -> dict:
    out = pathlib.Path(_OUT.value)
    if _holds_a_run(out) and not _RESUME.value:
        raise DataError(
            f"{out} already holds a run: --resume it, or take another --out"
        )
    settings = parsing.settings(_SET.value)
    dataset = streams.open(_DATASET.value)
    with Session(
        artifact, _RUNTIME.value, _THREADS.value, out, _TRUSTED.value
    ) as session:
        for note in session.artifact.notes:
            console.print(f"note: {note}", style="yellow", markup=False)
        session.claim()
        before = _measured(session, dataset)
        noted = {"artifact": str(pathlib.Path(artifact).absolute())}
        records.note_facts(out, _facts(session, settings), noted, UNSAID)
        compared = desk.compared(session.artifact, console)
        if not desk.wanted():
            found = _run(session, dataset, out, settings, console)
    if desk.wanted():  # the app claims the folder
        life = _life(artifact, out, settings)
        counts = compared["counts"]
        found = desk.lead(life, session.artifact, _STEPS.value, counts, console)
    _report(session.artifact, dataset.name, before, {**found, **compared}, out, console)
    return {
        "artifact": artifact,
        "dataset": dataset.name,
        "runtime": _RUNTIME.value,
        **{
            f"{name}_{when}": round(values[name], 4)
            for name in found["after"]
            for when, values in (("before", before), ("after", found["after"]))
            if name in values
        },
        **found["summary"],
        "peak_memory_mb": round(_peak_mb(), 1),
        "model_bytes": len(session.artifact.model),
        "flex_ops": loop.flex_ops(session.manifest),
        **{n: found[n] for n in ("faults", "equal", "stream", "step") if n in found},
    }


def _run(session: Session, dataset, out: pathlib.Path, settings: dict, console) -> dict:
    """Trains in this process; returns the summary, and what was found after it."""
    resumed = _RESUME.value and _restore(session, console)
    if settings and not resumed:
        session.configure(**settings)
    summary = _train(session, dataset, out, console)
    after = _measured(session, dataset)
    return {"after": after, "summary": dataclasses.asdict(summary)}


def _life(artifact: str, out: pathlib.Path, settings: dict) -> phone_app.Life:
    return phone_app.Life(
        artifact,
        _DATASET.value,
        _STREAM.value,
        _SEED.value,
        str(out),
        batches=[],
        corrupt=[],
        settings=settings,
        runtime=_RUNTIME.value,
        threads=_THREADS.value,
        checkpoint_every=_EVERY.value,
        unlabelled=_UNLABELLED.value,
    )


def _report(
    artifact, dataset: str, before: dict, found: dict, out: pathlib.Path, console
) -> None:
    names = {field.name for field in dataclasses.fields(Findings)}
    desk.report(
        Findings(
            artifact=about(artifact),
            device=described(desk.profile()),
            dataset=dataset,
            before=before,
            curves=curves(_records(out)),
            goldens=desk.golden(artifact),
            pictures=desk.pictures(artifact, out),
            **{name: value for name, value in found.items() if name in names},
        ),
        console,
    )


def _records(out: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the records of a run, those after an update of its artifact, too."""
    found = list(journal.read(out / records.RECORDS))
    later = out / phone.UPDATED / records.RECORDS
    if later.exists():
        at = len(found)
        found += [{**r, "batch": r["batch"] + at} for r in journal.read(later)]
    return found


def _holds_a_run(out: pathlib.Path) -> bool:
    with files.told(DataError, f"cannot read {files.shown(out)}"):
        return out.exists() and any(path.name != LOCK_FILE for path in out.iterdir())


def _measured(session: Session, dataset) -> dict[str, float]:
    """Returns what held-out rows say: of labels, or of embeddings by probes."""
    (output, *_) = session.manifest.signature(contract.INFER).outputs
    if output.name != "embedding":
        if _PROBE.value:
            raise ContractError(f"--probe is of embeddings, {output.name} are none")
        found = session.evaluate(dataset.test.x, dataset.test.y)
        told = ("accuracy", "absolute_error", "loss")
        return {name: found[name] for name in told if name in found}
    train, test = dataset.train, dataset.test
    if not _PROBE.value:
        return {}
    of_train, of_test = session.infer(train.x), session.infer(test.x)
    embeddings = (of_train, train.y, of_test, test.y)
    scores = {"knn": probe.knn(*embeddings)}
    for share in _PROBE.value:
        scores[f"probe_{share:g}"] = probe.linear_probe(
            *embeddings, share, _SEED.value, train.group
        )
    return {name: score.accuracy for name, score in scores.items()}


def _facts(session: Session, settings: dict[str, float]) -> dict[str, Any]:
    """Returns what a resumed run must share with its beginning."""
    return {
        "model": session.manifest.artifact_id,
        "dataset": _DATASET.value,
        "seed": _SEED.value,
        "settings": settings,
        "unlabelled": _UNLABELLED.value,
        "stream": _STREAM.value,
    }


def _restore(session: Session, console: Console) -> bool:
    def refused(error: Exception) -> None:
        console.out(f"passed over: {error}", style="yellow")

    step = session.restore_checkpoint(refused)
    at = "the beginning" if step is None else f"batch {session.position}, step {step}"
    console.out(f"resuming from {at}")
    return step is not None


def _train(session: Session, dataset, out: pathlib.Path, console: Console):
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, frame: stopped.append(got))
    batch_size = session.batch_size
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("train", total=_STEPS.value, completed=session.position)

        def on_step(record: dict) -> None:
            loss = "-" if record["loss"] is None else f"{record['loss']:.3f}"
            progress.update(bar, advance=1, description=f"loss {loss}")

        return loop.run(
            session,
            lambda start: dataset.train.batches(
                batch_size, _SEED.value, start, _STREAM.value
            ),
            _STEPS.value,
            out,
            _EVERY.value,
            stop=lambda: bool(stopped),
            on_step=on_step,
            hide=loop.hidden(_UNLABELLED.value, _SEED.value),
            note=lambda text: console.out(f"note: {text}", style="yellow"),
        )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run() -> None:
    """Runs the command line and ends the process."""
    app.run(main, flags_parser=parsing.parser(__name__, lambda: [desk.__name__]))
