"""Holds runtimes and processors against each other, call by call from equal states."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.contract.names import COUNT
from tflite_odl.desk.places import Place
from tflite_odl.desk.replay import Call, Result, replay
from tflite_odl.errors import ArtifactError, DeviceError
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

Arrays = Mapping[str, np.ndarray]
# Of a tensor's largest entry: float32 sums in another order, over one step.
LIMIT = 1e-5


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a tensor is from this machine's, in the worst of the calls.

    Attributes:
      signature, tensor: what was compared; tensors of the state under their names.
      error: largest difference, of the tensor's largest entry.
      call: number of the call, from 0.
    """

    signature: str
    tensor: str
    error: float
    call: int

    @property
    def passed(self) -> bool:
        """Whether it is what another order of sums can make."""
        return self.error <= LIMIT


@dataclasses.dataclass(frozen=True)
class Row:
    """What one place has shown.

    Attributes:
      place: its name.
      differences: by signature and tensor.
      drift: after the same training calls without restoring, the largest error of a
        state tensor.
      problem: why it could not run; empty if it did.
    """

    place: str
    differences: tuple[Difference, ...] = ()
    drift: float = 0.0
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether it ran and every tensor agrees."""
        return not self.problem and all(d.passed for d in self.differences)

    @property
    def worst(self) -> Difference | None:
        """The difference that is largest; None if nothing was compared."""
        return max(self.differences, key=lambda d: d.error, default=None)


def matrix(
    artifact: Artifact, batches: Iterable[Arrays], places: Sequence[Place]
) -> Iterator[Row]:
    """Compares each place with this machine's interpreter on one thread.

    Args:
      artifact: a folder's, or a bare file's.
      batches: inputs of `train`, complete; each makes a training step, an inference and
        an evaluation from the state before it.
      places: in their order.

    Yields:
      A row for each place.
    """
    with InterpreterRuntime(artifact.model, artifact.manifest, threads=1) as runtime:
        calls = list(_calls(runtime, artifact.manifest, list(batches)))
        free = _free(calls)
        expected, drifted = replay(runtime, calls), replay(runtime, free)
    for place in places:
        with tempfile.TemporaryDirectory() as work:
            try:
                found = place.run(artifact.path, [*calls, *free], pathlib.Path(work))
            except DeviceError as error:
                yield Row(place.name, problem=str(error))
                continue
        stepwise, ends = found[: len(calls)], found[len(calls) :]
        drift = max(
            (d.error for d in compare(free[-1:], drifted[-1:], ends[-1:])), default=0.0
        )
        yield Row(place.name, tuple(compare(calls, expected, stepwise)), drift)


def _calls(
    runtime: InterpreterRuntime, manifest: contract.Manifest, batches: list[Arrays]
) -> Iterator[Call]:
    """Yields the calls of every batch, each from the state that this machine is in."""
    for batch in batches:
        state = runtime.save()
        yield Call(contract.TRAIN, batch, state)
        for name in (contract.INFER, contract.EVALUATE):
            if name in manifest.signatures:
                yield Call(name, _inputs(manifest.signature(name), batch), state)
        runtime.run(contract.TRAIN, batch)


def _inputs(signature: contract.Signature, batch: Arrays) -> dict[str, np.ndarray]:
    """Returns the batch's rows as another signature takes them."""
    found = {}
    for spec in signature.inputs:
        rows = np.resize(batch[spec.name], (max(spec.shape[0], 1), *spec.shape[1:]))
        found[spec.name] = rows.astype(spec.dtype, copy=False)
    return found


def _free(calls: Sequence[Call]) -> list[Call]:
    """Returns the training calls alone, from the first one's state on."""
    steps = [call for call in calls if call.signature == contract.TRAIN]
    return [
        dataclasses.replace(call, state=call.state if number == 0 else None)
        for number, call in enumerate(steps)
    ]


def golden_batches(artifact: Artifact, number: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields inputs of `train`: the goldens', bad rows and all, in seeded orders.

    Raises:
      ArtifactError: there are no goldens, or they hold no training step.
    """
    known = goldens.inputs(artifact, contract.TRAIN)
    if not known:
        raise ArtifactError(f"{artifact.path} has no golden training steps")
    specs = artifact.manifest.signature(contract.TRAIN).inputs
    for step in range(number):
        batch = known[step % len(known)]
        rows = len(batch[specs[0].name])
        order = np.random.default_rng(step).permutation(rows)
        yield {
            spec.name: batch[spec.name]
            if spec.role == COUNT
            else batch[spec.name][order]
            for spec in specs
        }


def compare(
    calls: Sequence[Call], expected: Sequence[Result], found: Sequence[Result]
) -> list[Difference]:
    """Returns the worst difference of each tensor of each signature."""
    worst: dict[tuple[str, str], Difference] = {}
    for number, (call, a, b) in enumerate(zip(calls, expected, found, strict=True)):
        for known, other in ((a.outputs, b.outputs), (a.state, b.state)):
            for name in known.keys() | other.keys():
                error = _error(known.get(name), other.get(name))
                key = (call.signature, name)
                if key not in worst or error > worst[key].error:
                    worst[key] = Difference(*key, error, number)
    return [worst[key] for key in sorted(worst)]


def _error(expected: np.ndarray | None, found: np.ndarray | None) -> float:
    """Returns the largest difference, of the largest entry; NaN equals NaN alone."""
    if expected is None or found is None or expected.shape != found.shape:
        return float("inf")
    a, b = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        errors = np.where(same, 0.0, np.abs(a - b))
        largest = np.max(np.where(np.isfinite(a), np.abs(a), 0.0))
    error = float(np.nan_to_num(errors.max(), nan=np.inf))
    return error / largest if largest > 0 else float("inf")
