"""What a dataset is: two splits of rows, and how to scale them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tflite_odl.errors import DataError
from tflite_odl.streams import orders


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows with labels.

    Attributes:
      x: [N, ...] uint8 or float32, possibly memory-mapped.
      y: [N] int32, -1 = unlabelled; or [N, C] float32, several classes of a row or
        targets of a regression, a row of NaN = unlabelled.
      group: [N] int32 or None: the track, execution or person a row belongs to.
    """

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def batches(
        self, batch_size: int, seed: int = 0, start: int = 0, order: str = "shuffled"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields batches without end; batch t depends on (seed, t) alone.

        Args:
          batch_size: rows of a batch; a batch may span two epochs.
          seed: of the epochs' permutations.
          start: number of the first batch, to resume.
          order: as `orders.parse` reads it: "shuffled", a new permutation each epoch;
            "sequential", as stored; "stc=100", "tracks", ...

        Yields:
          x [batch_size, ...], y [batch_size, ...].
        """
        places = orders.Places(orders.parse(order), self.y, self.group, seed)
        while True:
            rows = places.rows(start * batch_size, batch_size)
            yield self.x[rows], self.y[rows]
            start += 1


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset with a split to learn from and one held out.

    Attributes:
      name: for reports.
      classes: names, in the order of the labels or of their columns.
      train, test: the splits.
      scale, offset: x * scale + offset is about unit range.
      citation: whom to credit.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    scale: float
    offset: float
    citation: str = ""

    def __post_init__(self) -> None:
        for part, split in (("train", self.train), ("test", self.test)):
            if len(split.x) != len(split.y):
                raise DataError(
                    f"{self.name}: {len(split.x)} rows of x_{part}, {len(split.y)} of y"
                )
            if split.x.dtype not in (np.uint8, np.float32, np.int32):
                raise DataError(
                    f"{self.name}: x_{part} is {split.x.dtype}, needs uint8, float32 "
                    "or int32"
                )
            if split.y.ndim == 2:
                if split.y.shape[1] != len(self.classes):
                    raise DataError(
                        f"{self.name}: y_{part} has {split.y.shape[1]} columns, there "
                        f"are {len(self.classes)} classes"
                    )
                continue
            low, high = (split.y.min(), split.y.max()) if len(split) else (0, 0)
            if low < -1 or high >= len(self.classes):
                raise DataError(
                    f"{self.name}: labels of {part} run from {low} to {high}, "
                    f"there are {len(self.classes)} classes"
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row of x."""
        return self.train.x.shape[1:]
