"""The test-then-train loop: predict a batch, then learn from it, and keep records."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tflite_odl import contract
from tflite_odl.contract.names import LABEL
from tflite_odl.errors import ContractError, DataError
from tflite_odl.host import journal, records, rows
from tflite_odl.host.claim import Claim
from tflite_odl.host.journal import Record
from tflite_odl.host.records import RECORDS, Summary
from tflite_odl.host.session import Session

Rows = np.ndarray | Mapping[str, np.ndarray]
Batches = Callable[[int], Iterator[tuple[Rows, np.ndarray]]]


def run(
    session: Session,
    batches: Batches,
    steps: int,
    folder: str | os.PathLike,
    checkpoint_every: int = 100,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[Record], None] = lambda record: None,
    hide: Callable[[int, np.ndarray], np.ndarray] = lambda position, y: y,
    note: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Trains until `steps` batches were consumed in all.

    Begins and ends with a checkpoint: a run that is killed before its first one would
    otherwise go on without what `configure` had set.

    Args:
      session: with a checkpoint_dir; continues at its `position`.
      batches: start -> the stream's batches (x, y) from number `start` on; several
        inputs are an x by their names.
      steps: batches in all, those before a resume included.
      folder: where the records go, one JSON object a line.
      checkpoint_every: batches between checkpoints.
      stop: asked after each batch; true ends the run early, state saved.
      on_step: called with each record.
      hide: (number of the batch, its labels) -> the labels that it is trained with; it
        is tested with the true ones.
      note: told what was found damaged of an earlier part of the run.

    Raises:
      BusyError: another process, or another session, writes to the folder.
      ContractError: steps or checkpoint_every is out of range, a batch does not fit.
      DataError: the stream ended before `steps`; the state is saved. Or records cannot
        be written.
      CheckpointError: a checkpoint cannot be written; the one before is whole.
    """
    if steps < 0 or checkpoint_every < 1:
        raise ContractError(
            f"needs steps >= 0 and checkpoint_every >= 1, got {steps} and "
            f"{checkpoint_every}"
        )
    path = pathlib.Path(folder) / RECORDS
    stream, interrupted, ended = batches(session.position), False, False
    with _claimed(session, path.parent):
        journal.keep(path, session.position, note)
        with journal.Journal(path) as log:
            _checkpoint(session, log)
            while session.position < steps and not interrupted and not ended:
                batch = next(stream, None)
                if batch is None:
                    ended = True
                    continue
                found = _step(session, *batch, hide)
                log.append(found)
                if session.position % checkpoint_every == 0:
                    _checkpoint(session, log)
                on_step(found)
                interrupted = stop()
            _checkpoint(session, log)
    if ended:
        raise DataError(f"the stream ended after {session.position} of {steps} batches")
    early = interrupted and session.position < steps
    found = journal.read(path)
    return records.summarize(found, session.position, session.step, early)


def _step(session: Session, x: Rows, y: np.ndarray, hide: Callable) -> Record:
    learns_labels = session.manifest.signature(contract.TRAIN).inputs_of(LABEL)
    before = session.evaluate(**_inputs(session, x, y)) if learns_labels else {}
    inputs = _inputs(session, x, hide(session.position, y))
    start = time.perf_counter()
    metrics = session.train(**inputs)
    ms = (time.perf_counter() - start) * 1e3
    return records.record(session.position, metrics, before, ms)


def hidden(fraction: float, seed: int) -> Callable[[int, np.ndarray], np.ndarray]:
    """Returns what takes the label from a fraction of the rows, in each run the same.

    Raises:
      ContractError: the fraction is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ContractError(f"unlabelled is a fraction from 0 to 1, got {fraction}")

    def hide(position: int, y: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, position])
        y = np.array(y)
        nothing = contract.UNLABELLED if y.dtype.kind in "iu" else np.nan
        y = y.astype(np.int32) if y.dtype.kind == "u" else y
        y[rng.random(len(y)) < fraction] = nothing
        return y

    return hide


def _inputs(session: Session, x: Rows, y: np.ndarray) -> dict[str, np.ndarray]:
    """Returns a batch by names; a method without labels is given none."""
    train = session.manifest.signature(contract.TRAIN)
    given, features = (x, None) if isinstance(x, Mapping) else ({}, x)
    label = y if train.inputs_of(LABEL) else None
    return rows.named(train, given, features, label)


def _checkpoint(session: Session, log: journal.Journal) -> None:
    # Records first: a checkpoint never knows of batches the records lack.
    log.sync()
    session.save_checkpoint()


@contextlib.contextmanager
def _claimed(session: Session, folder: pathlib.Path) -> Iterator[None]:
    """Holds the session's folder, and that of the records where it is another one."""
    session.claim()
    if folder.resolve() == session.checkpoint_dir.resolve():
        yield
        return
    claim = Claim(folder)
    try:
        yield
    finally:
        claim.release()


def flex_ops(manifest: contract.Manifest) -> int:
    """Returns the number of ops in the artifact that need the Flex library."""
    return sum(
        count
        for ops in manifest.ops.values()
        for name, count in ops.items()
        if name.startswith("Flex")
    )
