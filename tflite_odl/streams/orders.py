"""The order in which a stream shows its rows: how alike are neighbours.

An order is a frozen dataclass; `epoch` says which rows one pass shows, as a function of
(seed, number of the pass) alone, so that a stream goes on from any place. Every pass of
an order is equally long.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tflite_odl.errors import DataError


@dataclasses.dataclass(frozen=True)
class Order:
    """All rows, in the order they are stored."""

    def epoch(
        self, y: np.ndarray, group: np.ndarray | None, seed: int, number: int
    ) -> np.ndarray:
        """Returns the rows of one pass, [L] int64.

        Args:
          y: [N] int32, the classes of the rows; or [N, C] where an order needs none.
          group: [N] int32 or None, the track or session of each row.
          seed: of all passes.
          number: of the pass.

        Raises:
          DataError: the rows lack what the order goes by.
        """
        return np.arange(len(y))


@dataclasses.dataclass(frozen=True)
class Iid(Order):
    """All rows, shuffled anew in each pass."""

    def epoch(self, y, group, seed, number):
        return _generator(seed, number).permutation(len(y))


@dataclasses.dataclass(frozen=True)
class Stc(Order):
    """Strength of temporal correlation: runs of `length` rows of one class.

    The rows of each class are shuffled and cut into runs, the last of them shorter; the
    runs are shuffled. Two runs of one class may follow each other.

    References: Wu et al., 2021, doi 10.1109/DAC18074.2021.9586228.
    """

    length: int = 100

    def __post_init__(self) -> None:
        _check("length", self.length, 1, math.inf)

    def epoch(self, y, group, seed, number):
        generator, runs = _generator(seed, number), []
        for rows in _by_class(y, "stc"):
            rows = generator.permutation(rows)
            cuts = range(self.length, len(rows), self.length)
            runs += np.split(rows, cuts)
        return _shuffled(runs, generator)


@dataclasses.dataclass(frozen=True)
class Blurred(Order):
    """One class after the other, in a seeded order, with blurred boundaries.

    Each row is moved by up to `width` / 2 of the mean class size, uniformly, either
    way; 0 keeps the boundaries sharp.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        _check("width", self.width, 0, 100)

    def epoch(self, y, group, seed, number):
        generator = _generator(seed, number)
        classes = [generator.permutation(rows) for rows in _by_class(y, "blurred")]
        rows = _shuffled(classes, generator)
        reach = self.width * len(rows) / len(classes) / 2
        moved = np.arange(len(rows)) + generator.uniform(-reach, reach, len(rows))
        return rows[np.argsort(moved, kind="stable")]


@dataclasses.dataclass(frozen=True)
class Concurrent(Order):
    """So many classes at a time, shuffled among each other, then the next ones."""

    classes: int = 2

    def __post_init__(self) -> None:
        _check("classes", self.classes, 1, math.inf)

    def epoch(self, y, group, seed, number):
        generator = _generator(seed, number)
        found = _by_class(y, "concurrent")
        order = [found[k] for k in generator.permutation(len(found))]
        together = [
            generator.permutation(np.concatenate(order[k : k + self.classes]))
            for k in range(0, len(order), self.classes)
        ]
        return np.concatenate(together)


@dataclasses.dataclass(frozen=True)
class Imbalanced(Order):
    """Shuffled rows of a long-tailed part of the data.

    Of C classes, class k keeps ratio^(-k / (C - 1)) as many rows as class 0 would in
    the smallest class: chosen by the seed, the same in every pass; at least one.
    """

    ratio: float = 10.0

    def __post_init__(self) -> None:
        _check("ratio", self.ratio, 1, math.inf)

    def epoch(self, y, group, seed, number):
        classes, chosen = _by_class(y, "imbalanced"), []
        most = min(len(rows) for rows in classes)
        generator = _generator(seed, 0)
        for k, rows in enumerate(classes):
            share = self.ratio ** (-k / max(len(classes) - 1, 1))
            chosen.append(generator.permutation(rows)[: max(1, round(most * share))])
        return _generator(seed, number + 1).permutation(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class Grouped(Order):
    """Tracks or sessions in a seeded order, the rows of each in their own."""

    def epoch(self, y, group, seed, number):
        if group is None:
            raise DataError(
                "order tracks / sessions needs rows with a group; this split has none: "
                "use a recording that has tracks or executions"
            )
        _, member = np.unique(group, return_inverse=True)
        place = _generator(seed, number).permutation(member.max(initial=0) + 1)
        return np.argsort(place[member], kind="stable")


ORDERS: dict[str, type[Order]] = {
    "iid": Iid,
    "shuffled": Iid,
    "sequential": Order,
    "stc": Stc,
    "blurred": Blurred,
    "concurrent": Concurrent,
    "imbalanced": Imbalanced,
    "tracks": Grouped,
    "sessions": Grouped,
}


def parse(text: str) -> Order:
    """Returns an order from "iid", "stc=500", "blurred=0.5", "tracks", ..."""
    name, given, value = text.partition("=")
    if name not in ORDERS:
        raise DataError(f"order {text!r} is not one of {sorted(ORDERS)}")
    fields = dataclasses.fields(ORDERS[name])
    if not given:
        return ORDERS[name]()
    if not fields:
        raise DataError(f"order {name!r} takes no number, got {text!r}")
    try:
        number = int(value) if isinstance(fields[0].default, int) else float(value)
    except ValueError:
        raise DataError(f"order {text!r}: {value!r} is no {fields[0].name}") from None
    return ORDERS[name](number)


class Places:
    """The endless stream of one order: pass after pass.

    Args:
      order: of each pass.
      y, group, seed: as `Order.epoch` takes them.

    Raises:
      DataError: there are no rows, or they lack what the order goes by.
    """

    def __init__(
        self, order: Order, y: np.ndarray, group: np.ndarray | None, seed: int
    ) -> None:
        if not len(y):
            raise DataError("a split without rows gives no batches")
        self._order, self._of = order, (y, group, seed)
        self._number, self._rows = 0, order.epoch(*self._of, 0)

    def rows(self, first: int, count: int) -> np.ndarray:
        """Returns the indices of rows first .. first + count of the stream, [count]."""
        places, size = np.arange(first, first + count), len(self._rows)
        rows = np.empty(count, np.int64)
        for number in np.unique(places // size):
            inside = places // size == number
            rows[inside] = self._epoch(int(number))[places[inside] % size]
        return rows

    def _epoch(self, number: int) -> np.ndarray:
        """Returns the rows of a pass; the latest is kept."""
        if number != self._number:
            self._number, self._rows = number, self._order.epoch(*self._of, number)
        return self._rows


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def _by_class(y: np.ndarray, order: str) -> list[np.ndarray]:
    """Returns the rows of each class that has some; unlabelled ones are a class too."""
    if y.ndim != 1:
        raise DataError(
            f"order {order} goes by one class of each row, y is {list(y.shape)}"
        )
    return [np.flatnonzero(y == label) for label in np.unique(y)]


def _shuffled(parts: list[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    if not parts:
        return np.zeros(0, np.int64)
    return np.concatenate([parts[k] for k in generator.permutation(len(parts))])


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise DataError(f"{name} of an order is {value}, needs {low} or more")
