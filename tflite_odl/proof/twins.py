"""Proves a serving twin: what it answers is what the training artifact's infer does."""

from __future__ import annotations

from collections.abc import Callable

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


def prove(
    runtime: Runtime,
    bake: Callable[[Arrays], Runtime],
    shipped: Arrays,
    inputs: Arrays,
) -> dict[str, float]:
    """Compares the twin with the artifact, as shipped and baked from other weights.

    Args:
      runtime: of the training artifact.
      bake: state -> a runtime of the twin baked from it.
      shipped: the state.
      inputs: of one infer call.

    Returns:
      {"shipped", "moved"}: the largest error of an output.

    Raises:
      ParityError: with the output, index and both values.
    """
    found = {}
    for name, state in (("shipped", shipped), ("moved", moved(runtime, shipped))):
        runtime.run(RESTORE, dict(state))
        expected = runtime.run(INFER, inputs)
        with bake(state) as twin:
            outputs = twin.run(INFER, inputs)
        found[name] = max(
            _compare(name, output, expected[output], value)
            for output, value in outputs.items()
        )
    runtime.run(RESTORE, dict(shipped))
    return found


def moved(runtime: Runtime, state: Arrays) -> dict[str, np.ndarray]:
    """Returns a state whose weights are all others; what is positive stays so."""
    rng = np.random.default_rng(SEED)
    new = dict(state)
    for spec in runtime.manifest.state:
        if spec.role == "weight" and spec.dtype == "float32":
            value, noise = new[spec.name], rng.uniform(-MOVE, MOVE, (2, *spec.shape))
            # A weight of zeros is moved, too; one of ones, as a variance, by a factor.
            value = value * (1 + noise[0]) + (value == 0) * noise[1]
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
