"""The batches an artifact is proven with."""

from __future__ import annotations

import numpy as np

from tflite_odl.contract import UNLABELLED
from tflite_odl.errors import ContractError
from tflite_odl.methods.base import Method, Trial
from tflite_odl.methods.reference import Batch

Sample = tuple[np.ndarray, np.ndarray]


def batch(
    method: Method,
    batch_size: int,
    trial: Trial,
    sample: Sample | None = None,
    seed: int = 0,
) -> Batch:
    """Returns a batch of a trial's kind: full (0), padded (1), with bad rows (2).

    Args:
      method: gives the shapes and the number of classes.
      batch_size: rows of a batch.
      trial: which batch it needs.
      sample: (x [N, ...], y [N]) to draw rows from; else random ones.
      seed: of the draw.

    Raises:
      ContractError: the sample does not fit the train signature.
    """
    rng = np.random.default_rng([seed, trial.kind])
    draw = _from_sample(method, sample) if sample else _random(method)
    x, y = draw(rng, batch_size)
    count = np.array([batch_size], np.int32)
    if trial.kind == 1:
        count[0] = max(1, batch_size - batch_size // 4)
        x[count[0] :] = 0
    if trial.kind == 2 and batch_size > 2:
        y[-1], y[-2] = UNLABELLED, method.num_classes
        if batch_size > 3 and x.dtype == np.float32:
            x[-3].flat[0] = np.nan
    if trial.labelled is not None:
        y[trial.labelled :] = UNLABELLED
    return Batch(x, y, count)


def _from_sample(method: Method, sample: Sample):
    x, y = np.asarray(sample[0]), np.asarray(sample[1])
    spec = method.inputs(1)[0]
    if x.dtype != spec.dtype or x.shape[1:] != spec.shape[1:] or len(x) != len(y):
        raise ContractError(
            f"the sample needs N rows of x {list(spec.shape[1:])} {spec.dtype} and N "
            f"labels, got {list(x.shape)} {x.dtype} and {list(y.shape)}"
        )

    def draw(rng: np.random.Generator, rows: int) -> Sample:
        # Without replacement: equal rows would tie where a method ranks them.
        chosen = rng.choice(len(x), rows, replace=rows > len(x))
        return x[chosen], y[chosen].astype(np.int32)

    return draw


def _random(method: Method):
    spec = method.inputs(1)[0]

    def draw(rng: np.random.Generator, rows: int) -> Sample:
        shape = (rows, *spec.shape[1:])
        y = rng.integers(0, method.num_classes, rows).astype(np.int32)
        if spec.dtype == "uint8":
            return rng.integers(0, 256, shape).astype(np.uint8), y
        settings = method.config.preprocessing
        x = (rng.normal(size=shape) - settings.offset) / settings.scale
        return x.astype(np.float32), y

    return draw
