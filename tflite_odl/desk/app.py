"""One life of an app on the emulated phone: from its start to its end, or its death.

`python -m tflite_odl.desk.app LIFE` leads the life that the JSON file LIFE tells of.
The parent, `phone`, starts it again where it was killed, as a phone's system does.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tflite_odl import contract, streams
from tflite_odl.desk import limits, schedule
from tflite_odl.errors import OdlError
from tflite_odl.host import loop
from tflite_odl.host.runtimes import RUNTIMES, Runtime
from tflite_odl.host.session import Session
from tflite_odl.streams import orders
from tflite_odl.streams.dataset import Split

# Exit codes that say more than "failed".
REFUSED, STORAGE = 2, 28
STATUS, RESULT, ADOPTED = "status", "result.json", "adopted.json"
# Seconds into a step at which the system kills the app; that its clock is set back.
KILLED_AFTER, JUMP = 2e-4, 86400.0


@dataclasses.dataclass(frozen=True)
class Life:
    """What an app does.

    Attributes:
      artifact, dataset: as `Session` and `streams.open` take them.
      order, seed: of the stream's rows.
      out: folder for records and checkpoints.
      batches: (numbers of the rows in the stream) of each batch.
      corrupt: [batch, row in it], whose features arrive damaged.
      settings: given to `configure` in the first life.
      runtime, threads, checkpoint_every: as `tools/emulate.py` has them.
      unlabelled: fraction of the rows trained without their label.
      memory_mb: limit above what the app has without the artifact; None: no limit.
      storage_mb: limit of what lies in `out`; None: no limit.
      adopt: checkpoint of another artifact, whose weights are taken before all else.
      clock_jumps: batches before which the phone's clock is set back.
      fault: {kind, batch} that ends this life, or None.
    """

    artifact: str
    dataset: str
    order: str
    seed: int
    out: str
    batches: list[list[int]]
    corrupt: list[list[int]]
    settings: dict[str, float]
    runtime: str = "interpreter"
    threads: int = 2
    checkpoint_every: int = 100
    unlabelled: float = 0.0
    memory_mb: float | None = None
    storage_mb: float | None = None
    adopt: str | None = None
    clock_jumps: list[int] = dataclasses.field(default_factory=list)
    fault: dict[str, Any] | None = None


class Arriving:
    """The rows of a stream, in the batches in which they arrive."""

    def __init__(self, split: Split, life: Life, batch_size: int) -> None:
        self._split, self._batches = split, life.batches
        self._places = orders.Places(
            orders.parse(life.order), split.y, split.group, life.seed
        )
        self._corrupt = {(batch, row) for batch, row in life.corrupt}
        self._size = batch_size

    def __call__(self, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields x and y of each batch from number `start` on."""
        for number in range(start, len(self._batches)):
            places = [int(self._places.rows(n, 1)[0]) for n in self._batches[number]]
            x, y = np.array(self._split.x[places]), self._split.y[places]
            for row in range(len(places)):
                if (number, row) in self._corrupt:
                    x[row] = _damaged(x[row], number)
            yield x, y


def _damaged(row: np.ndarray, seed: int) -> np.ndarray:
    """Returns a sensor's broken frame: noise of bytes, or numbers that are none."""
    if row.dtype == np.uint8:
        noise = np.random.default_rng(seed).integers(0, 256, row.shape)
        return noise.astype(np.uint8)
    return np.full_like(row, np.nan)


class Calls:
    """Notes which signature runs for the first time, and how long each call takes."""

    def __init__(self, status: pathlib.Path) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._status = status

    def noting(self, kind: type[Runtime]) -> type[Runtime]:
        """Returns the runtime, whose calls are noted."""

        class Noted(kind):
            def run(noted, signature: str, inputs: Any) -> Any:
                return self._note(super().run, signature, inputs)

        return Noted

    def _note(self, run: Callable, signature: str, inputs: Any) -> Any:
        if signature not in self.seconds:
            self.seconds[signature] = []
            self._status.write_text(signature)
        began = time.perf_counter()
        outputs = run(signature, inputs)
        self.seconds[signature].append(time.perf_counter() - began)
        return outputs

    def summary(self) -> dict[str, dict[str, float]]:
        """Returns milliseconds: the first call's, and percentiles of the others."""
        found = {}
        for name, seconds in self.seconds.items():
            ms = np.array(seconds) * 1e3
            steady = ms[1:] if len(ms) > 1 else ms
            p50, p90, p99 = np.percentile(steady, [50, 90, 99])
            found[name] = {
                "calls": len(ms),
                "first_ms": round(float(ms[0]), 3),
                "p50_ms": round(float(p50), 3),
                "p90_ms": round(float(p90), 3),
                "p99_ms": round(float(p99), 3),
            }
        return found


class Fate:
    """Makes the fault that ends this life."""

    def __init__(self, fault: schedule.Fault | None, out: pathlib.Path) -> None:
        self._fault, self._out = fault, out
        self._armed, self._left = False, 0
        if fault and fault.kind in (schedule.KILL_SAVING, schedule.STORAGE_FULL):
            sys.addaudithook(self._watch)

    def before_step(self, batch: int) -> None:
        """Called right before a batch is trained."""
        if self._fault is None or batch != self._fault.batch:
            return
        if self._fault.kind in (schedule.KILL, schedule.WINDOW_END):
            # SIGALRM, which nobody handles, ends the process amid the runtime's work.
            signal.setitimer(signal.ITIMER_REAL, KILLED_AFTER)
        else:
            # At one of the writes that follow, drawn by the batch.
            self._armed, self._left = True, batch % 4

    def _watch(self, event: str, arguments: tuple) -> None:
        if not self._armed or event not in ("open", "os.rename"):
            return
        if not str(arguments[0]).startswith(str(self._out)):
            return
        if self._fault.kind == schedule.STORAGE_FULL:
            if event == "open" and limits.writes(arguments):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])
        elif self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            self._left -= 1


def _begin(session: Session, life: Life, test: Split) -> None:
    """Makes a new session what its life begins with."""
    if life.settings:
        session.configure(**life.settings)
    if life.adopt:
        told = dataclasses.asdict(session.adopt(life.adopt))
        told["tested"] = _tested(session, test)
        path = pathlib.Path(life.out) / ADOPTED
        path.write_text(json.dumps(told))


def _tested(session: Session, test: Split) -> dict[str, float]:
    """Returns what `evaluate` says of held-out rows; of embeddings nothing."""
    if session.manifest.signature(contract.INFER).outputs[0].name == "embedding":
        return {}
    return session.evaluate(test.x, test.y)


def lead(life: Life) -> None:
    """Trains from the last checkpoint to the end of the batches."""
    out = pathlib.Path(life.out)
    dataset = streams.open(life.dataset)
    base = limits.resident()
    held = limits.hold(life.memory_mb) if life.memory_mb else "none"
    (out / STATUS).write_text("loading")
    fault = life.fault and schedule.Fault(**life.fault)
    calls = Calls(out / STATUS)
    kind = calls.noting(RUNTIMES[life.runtime])
    if life.storage_mb is not None:
        limits.quota(out, int(life.storage_mb * 2**20))
    with Session(life.artifact, kind, life.threads, out) as session:
        if session.restore_checkpoint() is None:
            _begin(session, life, dataset.test)
        fate = Fate(fault, out)
        hide = loop.hidden(life.unlabelled, life.seed)

        def hidden(position: int, y: np.ndarray) -> np.ndarray:
            # Asked once a batch, right before it is trained.
            fate.before_step(position)
            if position in life.clock_jumps:
                time.time = lambda: -JUMP  # a day before the epoch
            return hide(position, y)

        summary = loop.run(
            session,
            Arriving(dataset.train, life, session.batch_size),
            len(life.batches),
            out,
            life.checkpoint_every,
            on_step=lambda record: print(json.dumps(record["batch"]), flush=True),
            hide=hidden,
        )
        tested = _tested(session, dataset.test)
    result = {
        "summary": dataclasses.asdict(summary),
        "after": tested,
        "calls": calls.summary(),
        "memory": {
            "mechanism": held,
            "limit_mb": life.memory_mb,
            "used_mb": round((limits.peak() - base) / 2**20, 1),
        },
    }
    (out / RESULT).write_text(json.dumps(result))


def main(path: str) -> int:
    life = Life(**json.loads(pathlib.Path(path).read_text()))
    try:
        lead(life)
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return STORAGE if error.errno == errno.ENOSPC else REFUSED
    except OdlError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        full = isinstance(error.__cause__, OSError) and (
            error.__cause__.errno == errno.ENOSPC
        )
        return STORAGE if full else REFUSED
    except MemoryError:
        return limits.OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
