"""The same run on this machine, with which the phone's is compared."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

from tflite_odl import contract
from tflite_odl.contract.names import LABEL
from tflite_odl.errors import DataError
from tflite_odl.host import loop
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.records import RECORDS
from tflite_odl.host.session import Session
from tflite_odl.streams.dataset import Dataset


def run(
    artifact: Artifact,
    rows: Dataset,
    out: pathlib.Path,
    steps: int,
    threads: int,
    settings: Mapping[str, float],
    on_step: Callable[[int], None],
) -> tuple[dict[str, float], dict[str, float]]:
    """Trains on rows as they are stored; returns the evaluations before and after.

    Args:
      artifact: what learns.
      rows: as `stream.write` returns them.
      out: folder for records and checkpoints, without a run.
      steps: batches.
      threads: of the CPU kernels.
      settings: given to `configure` before the first step.
      on_step: told the number of each batch.

    Raises:
      DataError: the folder holds a run.
      ContractError: a setting or a batch does not fit.
    """
    if (out / RECORDS).exists():
        raise DataError(f"{out} already holds a run: take another --out")
    with Session(artifact.path, threads=threads, checkpoint_dir=out) as session:
        if settings:
            session.configure(**settings)
        before = _measured(session, rows)
        size = session.batch_size
        loop.run(
            session,
            lambda start: rows.train.batches(size, 0, start, "sequential"),
            steps,
            out,
            on_step=lambda record: on_step(record["batch"]),
        )
        return before, _measured(session, rows)


def _measured(session: Session, rows: Dataset) -> dict[str, float]:
    """Returns what `evaluate` says of the held-out rows, if labels are all it needs."""
    labels = session.manifest.signature(contract.TRAIN).inputs_of(LABEL)
    return session.evaluate(rows.test.x, rows.test.y) if labels else {}
