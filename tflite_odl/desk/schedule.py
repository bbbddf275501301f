"""What happens in a run, planned ahead: which rows arrive, which faults come.

A schedule is a function of profile, faults and seed. So the same life can be led again
without its faults, and compared to the byte.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np

from tflite_odl.desk.profiles import Profile
from tflite_odl.errors import DeviceError

# Faults of the app's life: what is learned must be as if they had not been.
KILL, KILL_SAVING, STORAGE_FULL, CLOCK_JUMP = (
    "kill",
    "kill_saving",
    "storage_full",
    "clock_jump",
)
WINDOW_END = "window_end"
LIFE = (KILL, KILL_SAVING, STORAGE_FULL, CLOCK_JUMP)
# Faults of the stream: what is learned must be what arrived, and they are counted.
GAP, DUPLICATE, CORRUPT = "gap", "duplicate", "corrupt"
STREAM = (GAP, DUPLICATE, CORRUPT)
# Rows that a gap swallows.
GAP_ROWS = 50


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
      kind: one of `LIFE`, or `window_end`.
      batch: number of the batch that it comes in, from 0.
    """

    kind: str
    batch: int


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A whole run.

    Attributes:
      batches: for each batch the numbers of its rows in the stream.
      corrupt: (batch, row in it) whose features arrive damaged.
      seconds: the phone's clock at the end of each batch.
      faults: of the app's life, in order.
      lost: rows that the sensor's full queue, or a gap, has swallowed.
      duplicates: rows that arrived twice.
    """

    batches: tuple[tuple[int, ...], ...]
    corrupt: frozenset[tuple[int, int]]
    seconds: tuple[float, ...]
    faults: tuple[Fault, ...]
    lost: int
    duplicates: int


def parse(text: str) -> dict[str, int]:
    """Reads `kill=3,gap=2`: how often each fault comes.

    Raises:
      DeviceError: an unknown fault, or no number.
    """
    found = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in (*LIFE, *STREAM) or not number.isdecimal():
            raise DeviceError(
                f"fault {part!r}: needs NAME=NUMBER, NAME one of "
                f"{', '.join((*LIFE, *STREAM))}"
            )
        found[name] = int(number)
    return found


def plan(
    profile: Profile,
    batch_size: int,
    steps: int,
    step_seconds: float,
    faults: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Schedule:
    """Plans a run.

    Args:
      profile: whose sensor, thermal curve and background windows hold.
      batch_size: rows that a step consumes.
      steps: batches in all.
      step_seconds: what a step takes on the phone's processor at its full share.
      faults: how often each comes, at batches drawn by the seed.
      seed: of where faults come.
    """
    rng = np.random.default_rng([seed, 0xFA])
    drawn = {
        kind: sorted(rng.integers(0, max(1, steps - 1), number).tolist())
        for kind, number in sorted((faults or {}).items())
    }
    stream = _Stream(profile, batch_size)
    batches, corrupt, seconds, life = [], set(), [], []
    window = 60 * profile.background.minutes
    for batch in range(steps):
        for _ in range(drawn.get(GAP, []).count(batch)):
            stream.gap()
        for _ in range(drawn.get(DUPLICATE, []).count(batch)):
            stream.duplicate()
        batches.append(stream.take())
        for _ in range(drawn.get(CORRUPT, []).count(batch)):
            corrupt.add((batch, int(rng.integers(batch_size))))
        began = stream.clock
        stream.pass_by(step_seconds / profile.share(stream.working))
        if began // window != stream.clock // window and began:
            life.append(Fault(WINDOW_END, batch))
        for kind in LIFE:
            life += [Fault(kind, batch)] * drawn.get(kind, []).count(batch)
        seconds.append(stream.clock)
    return Schedule(
        tuple(batches),
        frozenset(corrupt),
        tuple(seconds),
        tuple(life),
        stream.lost,
        stream.duplicates,
    )


class _Stream:
    """Rows that arrive on the phone's clock and wait in a queue."""

    def __init__(self, profile: Profile, batch_size: int) -> None:
        self.sensor, self.batch_size = profile.sensor, batch_size
        self.room = max(profile.sensor.queue, batch_size)
        self.queue: collections.deque[int] = collections.deque()
        self.next, self.lost, self.duplicates = 0, 0, 0
        self.clock, self.working = 0.0, 0.0

    @property
    def _waits(self) -> bool:
        return not self.sensor.rows_per_second or self.sensor.drop == "none"

    def take(self) -> tuple[int, ...]:
        """Returns the rows of the next batch, waiting for them if need be."""
        missing = self.batch_size - len(self.queue)
        if missing > 0:
            if self.sensor.rows_per_second:
                self.clock += missing / self.sensor.rows_per_second
            self._arrive(missing)
        return tuple(self.queue.popleft() for _ in range(self.batch_size))

    def pass_by(self, seconds: float) -> None:
        """Lets time pass in which the processor works and rows arrive."""
        arrived = int((self.clock + seconds) * self.sensor.rows_per_second) - int(
            self.clock * self.sensor.rows_per_second
        )
        self.clock += seconds
        self.working += seconds
        if not self._waits:
            self._arrive(arrived)

    def _arrive(self, number: int) -> None:
        for _ in range(number):
            row, self.next = self.next, self.next + 1
            if len(self.queue) >= self.room:
                self.lost += 1
                if self.sensor.drop == "newest":
                    continue
                self.queue.popleft()
            self.queue.append(row)

    def gap(self) -> None:
        """The sensor is silent: rows that would have come never do."""
        self.next += GAP_ROWS
        self.lost += GAP_ROWS

    def duplicate(self) -> None:
        """The last row comes once more."""
        if self.next:
            self.queue.append(self.queue[-1] if self.queue else self.next - 1)
            self.duplicates += 1
