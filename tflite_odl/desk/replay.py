"""Makes calls from stated states, on whatever LiteRT this Python has.

`python -m tflite_odl.desk.replay JOB` does a job that `write` has put into the folder:
in a process of its own, an older LiteRT's environment, or an emulated processor. It
needs NumPy, safetensors and LiteRT alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import safetensors.numpy

from tflite_odl import contract
from tflite_odl.errors import OdlError
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import (
    CompiledRuntime,
    InterpreterRuntime,
    PlainRuntime,
    Runtime,
)

Arrays = Mapping[str, np.ndarray]
KINDS = {k.name: k for k in (InterpreterRuntime, CompiledRuntime, PlainRuntime)}
JOB, GIVEN, DONE = "job.json", "given.safetensors", "done.safetensors"


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a signature.

    Attributes:
      signature: its name.
      inputs: every input, as the runtime takes it.
      state: what is restored before; None goes on from what the call before has left.
    """

    signature: str
    inputs: Arrays
    state: Arrays | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call gave, and the whole state after it."""

    outputs: Arrays
    state: Arrays


def replay(runtime: Runtime, calls: Iterable[Call]) -> list[Result]:
    """Makes the calls in order."""
    results = []
    for call in calls:
        if call.state is not None:
            runtime.run(contract.RESTORE, call.state)
        outputs = runtime.run(call.signature, call.inputs)
        results.append(Result(outputs, runtime.save()))
    return results


def write(
    folder: pathlib.Path,
    artifact: pathlib.Path,
    calls: Sequence[Call],
    runtime: str,
    threads: int,
) -> None:
    """Puts a job into a folder."""
    about = {
        "artifact": str(artifact.resolve()),
        "runtime": runtime,
        "threads": threads,
        "calls": [
            {"signature": c.signature, "state": c.state is not None} for c in calls
        ],
    }
    given = [{"inputs": c.inputs, "state": c.state or {}} for c in calls]
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(_joined(given), folder / GIVEN)
    (folder / JOB).write_text(json.dumps(about))


def read(folder: pathlib.Path) -> list[Result]:
    """Returns the results of a job that was done."""
    parts = _parted(safetensors.numpy.load_file(folder / DONE))
    return [Result(part.get("outputs", {}), part.get("state", {})) for part in parts]


@contextlib.contextmanager
def opened(folder: pathlib.Path) -> Iterator[tuple[Runtime, list[Call]]]:
    """Opens the runtime of the job in a folder; gives it with the calls."""
    job = json.loads((folder / JOB).read_text())
    given = _parted(safetensors.numpy.load_file(folder / GIVEN))
    calls = [
        Call(about["signature"], part["inputs"], part.get("state"))
        for about, part in zip(job["calls"], given, strict=True)
    ]
    artifact = Artifact.open(job["artifact"])
    kind = KINDS[job["runtime"]]
    with kind(artifact.model, artifact.manifest, job["threads"]) as runtime:
        yield runtime, calls


def do(folder: pathlib.Path) -> None:
    """Does the job in a folder and leaves its results there."""
    with opened(folder) as (runtime, calls):
        results = replay(runtime, calls)
    done = [{"outputs": r.outputs, "state": r.state} for r in results]
    safetensors.numpy.save_file(_joined(done), folder / DONE)


def _joined(parts: Sequence[Mapping[str, Arrays]]) -> dict[str, np.ndarray]:
    """Returns all tensors under number/part/name."""
    return {
        f"{number}/{kind}/{name}": np.ascontiguousarray(value)
        for number, part in enumerate(parts)
        for kind, tensors in part.items()
        for name, value in tensors.items()
    }


def _parted(tensors: Arrays) -> list[dict[str, dict[str, np.ndarray]]]:
    """Undoes `_joined`; a part without tensors is left out."""
    found: list[dict[str, dict[str, np.ndarray]]] = []
    for key in sorted(tensors, key=lambda key: int(key.split("/", 1)[0])):
        number, kind, name = key.split("/", 2)
        while len(found) <= int(number):
            found.append({})
        found[-1].setdefault(kind, {})[name] = tensors[key]
    return found


if __name__ == "__main__":
    try:
        do(pathlib.Path(sys.argv[1]))
    except OdlError as error:
        sys.exit(f"{type(error).__name__}: {error}")
