"""Holds runtimes and processors against each other, call by call from equal states."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.contract.names import CLASSIFY, COUNT, ENROLL, LABEL, REFRESH
from tflite_odl.desk.places import Place
from tflite_odl.desk.replay import Call, Result, replay
from tflite_odl.errors import ArtifactError, DeviceError
from tflite_odl.host import goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import InterpreterRuntime

Arrays = Mapping[str, np.ndarray]
# What is asked beside a training step.
OTHERS = (contract.INFER, contract.EVALUATE, ENROLL, CLASSIFY, REFRESH)
# Of a tensor's largest entry: float32 sums in another order, over one step.
LIMIT = 1e-5
# What is made of several numbers of about one, such as a difference of two entropies.
ROUNDING = 1e-6
# A weight that moves less than this share of what moves most is moved by noise, such as
# a bias before a batch norm: nothing is right or wrong about it.
NOISE = 1e-2


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a tensor is from this machine's, in the worst of the calls.

    Attributes:
      signature, tensor: what was compared; tensors of the state under their names.
      error: largest difference.
      allowed: what another order of sums can make, in that call.
      call: its number, from 0.
      loose: whether it is allowed more, as noise moves it.
    """

    signature: str
    tensor: str
    error: float
    allowed: float
    call: int
    loose: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is what another order of sums can make."""
        return self.error <= self.allowed

    @property
    def share(self) -> float:
        """The error, of what is allowed."""
        if self.error == 0:
            return 0.0
        return self.error / self.allowed if self.allowed else float("inf")


@dataclasses.dataclass(frozen=True)
class Row:
    """What one place has shown.

    Attributes:
      place: its name.
      differences: by signature and tensor.
      drift: after the same training calls without restoring, the largest difference
        of a weight.
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
        return max(self.differences, key=lambda d: d.share, default=None)


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
        calls = list(calls_of(runtime, artifact.manifest, list(batches)))
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
        differences = tuple(compare(artifact.manifest, calls, expected, stepwise))
        drift = _drift(artifact.manifest, drifted[-1].state, ends[-1].state)
        yield Row(place.name, differences, drift)


def calls_of(
    runtime: InterpreterRuntime, manifest: contract.Manifest, batches: list[Arrays]
) -> Iterator[Call]:
    """Yields the calls of every batch, each from the state that this machine is in.

    That is a training step, and what else there is: rows are enrolled between batches,
    so that there is something to recognize.
    """
    others = [name for name in OTHERS if name in manifest.signatures]
    for batch in batches:
        state = runtime.save()
        yield Call(contract.TRAIN, batch, state)
        given = {n: _inputs(manifest.signature(n), batch) for n in others}
        for name in others:
            yield Call(name, given[name], state)
        runtime.run(contract.TRAIN, batch)
        if ENROLL in given:
            runtime.run(ENROLL, given[ENROLL])


def _inputs(signature: contract.Signature, batch: Arrays) -> dict[str, np.ndarray]:
    """Returns the batch's rows as a signature takes them.

    A method that learns without labels is asked with some: 0, 1, 0, 1... What judges no
    rows is given zeros for NaN, as what that becomes in a maximum differs between
    processors.
    """
    found = {}
    for spec in signature.inputs:
        labels = np.arange(spec.shape[0]) % 2 if spec.role == LABEL else np.zeros(1)
        rows = np.resize(batch.get(spec.name, labels), spec.shape)
        if signature.name in (contract.INFER, CLASSIFY):
            rows = np.nan_to_num(rows, posinf=0, neginf=0)
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
    manifest: contract.Manifest,
    calls: Sequence[Call],
    expected: Sequence[Result],
    found: Sequence[Result],
) -> list[Difference]:
    """Returns the worst difference of each tensor of each signature."""
    kinds = _kinds(manifest)
    worst: dict[tuple[str, str], Difference] = {}
    for number, (call, a, b) in enumerate(zip(calls, expected, found, strict=True)):
        moved, most = _moved(kinds, call.state or {}, a.state)
        for known, other in ((a.outputs, b.outputs), (a.state, b.state)):
            for name in known.keys() | other.keys():
                error = _error(known.get(name), other.get(name))
                about = moved.get(name), most.get(kinds.get(name, ""), 0.0)
                allowed, loose = _allowed(known.get(name), *about)
                key = (call.signature, name)
                new = Difference(*key, error, allowed, number, loose)
                if key not in worst or new.share > worst[key].share:
                    worst[key] = new
    return [worst[key] for key in sorted(worst)]


def _kinds(manifest: contract.Manifest) -> dict[str, str]:
    """Returns {weight or slot: its kind}; momenta are one kind, weights another."""
    weights = [s.name for s in manifest.state if s.role == "weight"]
    kinds = dict.fromkeys(weights, "weight")
    for spec in manifest.state:
        if spec.role == "slot":
            of = [w for w in weights if spec.name.startswith(f"{w}_")]
            kinds[spec.name] = spec.name[len(max(of, key=len, default="")) :]
    return kinds


def _moved(
    kinds: Mapping[str, str], before: Arrays, after: Arrays
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns how far a call has moved each tensor, and the most of each kind."""
    moved: dict[str, float] = {}
    most: dict[str, float] = {}
    for name in kinds.keys() & before.keys():
        wide = np.abs(after[name].astype(np.float64) - before[name])
        moved[name] = float(np.nan_to_num(wide).max(initial=0))
        most[kinds[name]] = max(most.get(kinds[name], 0.0), moved[name])
    return moved, most


def _allowed(
    expected: np.ndarray | None, moved: float | None, most: float
) -> tuple[float, bool]:
    """Returns the difference that is allowed, and whether as noise.

    Args:
      expected: the tensor.
      moved: how far the call has moved it, of a weight or a slot.
      most: how far it has moved any of its kind.
    """
    if expected is None:
        return 0.0, False
    wide = np.abs(expected.astype(np.float64))
    largest = float(np.max(wide, where=np.isfinite(wide), initial=0))
    if moved is None:
        rounding = ROUNDING if expected.dtype.kind == "f" else 0.0
        return LIMIT * largest + rounding, False
    usual = LIMIT * max(largest, most)
    if moved < NOISE * most and usual < NOISE * most:
        return NOISE * most, True
    return usual, False


def _drift(manifest: contract.Manifest, expected: Arrays, found: Arrays) -> float:
    weights = [s.name for s in manifest.state if s.role == "weight"]
    return max((_error(expected[name], found.get(name)) for name in weights), default=0)


def _error(expected: np.ndarray | None, found: np.ndarray | None) -> float:
    """Returns the largest difference; NaN equals NaN alone."""
    if expected is None or found is None or expected.shape != found.shape:
        return float("inf")
    a, b = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        errors = np.where(same, 0.0, np.abs(a - b))
    return float(np.nan_to_num(errors, nan=np.inf).max(initial=0))
