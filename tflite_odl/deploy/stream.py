"""The rows of a run as one packed file, in the order in which they are learned."""

from __future__ import annotations

import pathlib

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.streams import packed
from tflite_odl.streams.dataset import Dataset, Split


def lay_out(
    dataset: Dataset, steps: int, batch_size: int, seed: int, order: str
) -> dict[str, np.ndarray]:
    """Returns what the phone is given: x_train, y_train row by row, x_test, y_test.

    Read sequentially, these are the batches of `dataset.train.batches`.

    Raises:
      DataError: the order does not fit the dataset.
    """
    if steps < 1:
        raise DataError(f"a run has 1 step or more, got {steps}")
    batches = dataset.train.batches(batch_size, seed, 0, order)
    x, y = zip(*(next(batches) for _ in range(steps)), strict=True)
    return {
        "x_train": np.concatenate(x),
        "y_train": np.concatenate(y),
        "x_test": np.asarray(dataset.test.x),
        "y_test": np.asarray(dataset.test.y),
    }


def write(path: pathlib.Path, dataset: Dataset, rows: dict[str, np.ndarray]) -> Dataset:
    """Writes the file; returns its rows as a dataset, mapped from it.

    Raises:
      DataError: it cannot be written.
    """
    about = {
        "classes": "\n".join(dataset.classes),
        "scale": repr(float(dataset.scale)),
        "offset": repr(float(dataset.offset)),
    }
    packed.write(path, rows, about)
    mapped, _ = packed.read(path)
    parts = (Split(mapped[f"x_{p}"], mapped[f"y_{p}"]) for p in ("train", "test"))
    facts = (dataset.scale, dataset.offset, dataset.citation)
    return Dataset(dataset.name, dataset.classes, *parts, *facts)
