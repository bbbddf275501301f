"""The batches an artifact is proven with."""

from __future__ import annotations

import numpy as np

from tflite_odl.contract import UNLABELLED
from tflite_odl.errors import ContractError
from tflite_odl.methods.base import Method
from tflite_odl.methods.reference import Batch

Sample = tuple[np.ndarray, np.ndarray]


def batches(
    method: Method, batch_size: int, sample: Sample | None = None, seed: int = 0
) -> list[Batch]:
    """Returns three batches: a full one, a padded one, and one with bad rows.

    Args:
      method: gives the shapes and the number of classes.
      batch_size: rows of a batch.
      sample: (x [N, ...], y [N]) to draw rows from; else random ones.
      seed: of the draw.

    Raises:
      ContractError: the sample does not fit the train signature.
    """
    rng = np.random.default_rng(seed)
    draw = _from_sample(method, sample) if sample else _random(method)
    full, padded, mixed = (_batch(*draw(rng, batch_size), batch_size) for _ in range(3))
    real = max(1, batch_size - batch_size // 4)
    padded.count[0] = real
    padded.x[real:] = 0
    if batch_size > 2:
        mixed.y[-1] = UNLABELLED
        mixed.y[-2] = method.num_classes
    if batch_size > 3 and mixed.x.dtype == np.float32:
        mixed.x[-3].flat[0] = np.nan
    return [full, padded, mixed]


def _batch(x: np.ndarray, y: np.ndarray, rows: int) -> Batch:
    return Batch(x, y, np.array([rows], np.int32))


def _from_sample(method: Method, sample: Sample):
    x, y = np.asarray(sample[0]), np.asarray(sample[1])
    spec = method.inputs(1)[0]
    if x.dtype != spec.dtype or x.shape[1:] != spec.shape[1:] or len(x) != len(y):
        raise ContractError(
            f"the sample needs N rows of x {list(spec.shape[1:])} {spec.dtype} and N "
            f"labels, got {list(x.shape)} {x.dtype} and {list(y.shape)}"
        )

    def draw(rng: np.random.Generator, rows: int) -> Sample:
        chosen = rng.integers(0, len(x), rows)
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
