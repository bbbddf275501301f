"""Proves a serving twin: what it answers is what the training artifact's infer does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np

from tflite_odl.contract import INFER, RESTORE
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof.candidate import ParityError
from tflite_odl.proof.proof import Arrays

# Batch norms are folded into weights, so sums are of other roundings; relative where
# outputs are above 1.
TOLERANCE = 1e-5
# How far weights are moved, relative: enough to show one that bake forgets.
MOVE = 0.05
SEED = 11
# Where activations take few levels, one within a rounding of an edge falls either way,
# and its row is off: so many rows must agree, of so many at most.
AGREED, TRIED = 8, 64


def prove(
    runtime: Runtime,
    bake: Callable[[Arrays], Runtime],
    shipped: Arrays,
    inputs: Iterable[Arrays],
    discrete: bool = False,
) -> dict[str, float]:
    """Compares the twin with the artifact, as shipped and baked from other weights.

    A twin that is wrong is wrong on each row. Where activations are discrete, rows on
    which one of these falls the other way are passed over, for `AGREED` others; and as
    shipped many do, since offsets of 0 leave sums that are 0 but for rounding: there
    the weights that are 0 are moved off it first.

    Args:
      runtime: of the training artifact.
      bake: state -> a runtime of the twin baked from it.
      shipped: the state.
      inputs: of infer calls; the first one's, or as many as it takes.
      discrete: whether activations take few levels.

    Returns:
      {"shipped", "moved"}: the largest error of an output, rows passed over apart;
      of discrete ones "offset" in place of "shipped".

    Raises:
      ParityError: with the output, index and both values.
    """
    found = {}
    kept = list(itertools.islice(inputs, TRIED if discrete else 1))
    first = (
        ("offset", moved(runtime, shipped, 0.0)) if discrete else ("shipped", shipped)
    )
    for name, state in (first, ("moved", moved(runtime, shipped))):
        runtime.run(RESTORE, dict(state))
        with bake(state) as twin:
            found[name] = _agreement(name, runtime, twin, kept, discrete)
    runtime.run(RESTORE, dict(shipped))
    return found


def _agreement(
    case: str,
    runtime: Runtime,
    twin: Runtime,
    calls: Iterable[Arrays],
    discrete: bool,
) -> float:
    """Returns the largest error; raises ParityError where too few rows agree."""
    worst, agreed, missed = 0.0, 0, None
    for inputs in calls:
        expected, outputs = runtime.run(INFER, inputs), twin.run(INFER, inputs)
        for row in range(len(next(iter(outputs.values())))):
            try:
                worst = max(
                    worst,
                    *(
                        _compare(case, name, expected[name][row], value[row])
                        for name, value in outputs.items()
                    ),
                )
                agreed += 1
            except ParityError as error:
                if not discrete:
                    raise
                missed = missed or error
        if discrete and agreed >= AGREED:
            return worst
    if missed is not None:
        raise missed
    return worst


def moved(
    runtime: Runtime, state: Arrays, others: float = MOVE
) -> dict[str, np.ndarray]:
    """Returns a state whose weights are all others; what is positive stays so.

    Args:
      runtime: of the artifact.
      state: before.
      others: how far weights that are not 0 are moved, relative.
    """
    rng = np.random.default_rng(SEED)
    new = dict(state)
    for spec in runtime.manifest.state:
        if spec.role == "weight" and spec.dtype == "float32":
            value, noise = new[spec.name], rng.uniform(-MOVE, MOVE, (2, *spec.shape))
            # A weight of zeros is moved, too; one of ones, as a variance, by a factor.
            value = value * (1 + noise[0] * others / MOVE) + (value == 0) * noise[1]
            new[spec.name] = value.astype(np.float32)
    return new


def _compare(case: str, name: str, expected: np.ndarray, got: np.ndarray) -> float:
    error = np.nan_to_num(np.abs(got.astype(np.float64) - expected), nan=np.inf)
    at = np.unravel_index(error.argmax(), error.shape)
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not error[at] <= tolerance:
        raise ParityError(
            f"serving twin, {case} weights, output {name!r}, index "
            f"{list(map(int, at))}: the artifact's infer has {expected[at]:.9g}, the "
            f"twin {got[at]:.9g}; the tolerance is {tolerance:.3g}"
        )
    return float(error[at])
