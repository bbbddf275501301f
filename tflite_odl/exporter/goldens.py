"""Golden calls: what a phone or another runtime repeats to prove itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflite_odl import contract
from tflite_odl.exporter.artifact import Call, Expected, Goldens
from tflite_odl.host.runtimes import Runtime
from tflite_odl.proof.references.supervised import Batch

EXACT_INPUT = (1e-5, "float32 sums in another order, from the shipped state")
DRIFT = "float32 sums in another order, amplified by the training steps before"


def record(runtime: Runtime, batches: Sequence[Batch], drift: float) -> Goldens:
    """Returns the calls made on a fresh runtime, with what it answered.

    Inference first, then a training step per batch, then evaluation.

    Args:
      runtime: nothing was trained on it yet.
      batches: one for each training step.
      drift: how far one step of TensorFlow's float32 is from float64, relative to the
        update; what follows a step is compared within ten times that.
    """
    later = (max(1e-4, 10 * drift), DRIFT)
    calls = [_infer(runtime, batches[0])]
    calls += [_call(runtime, contract.TRAIN, b.inputs(), later) for b in batches]
    calls.append(_call(runtime, contract.EVALUATE, batches[0].inputs(), later))
    return Goldens(tuple(calls))


def _infer(runtime: Runtime, batch: Batch) -> Call:
    specs = runtime.manifest.signature(contract.INFER).inputs
    x = {spec.name: np.resize(batch.x[spec.name], spec.shape) for spec in specs}
    return _call(runtime, contract.INFER, x, EXACT_INPUT)


def _call(
    runtime: Runtime,
    signature: str,
    inputs: dict[str, np.ndarray],
    tolerance: tuple[float, str],
) -> Call:
    outputs = runtime.run(signature, inputs)
    expected = {name: _expected(v, *tolerance) for name, v in outputs.items()}
    return Call(signature, inputs, expected)


def _expected(value: np.ndarray, rtol: float, reason: str) -> Expected:
    if value.dtype.kind != "f":
        return Expected(value)
    return Expected(value, rtol, atol=1e-5, reason=reason)
