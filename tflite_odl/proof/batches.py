"""The batches an artifact is proven with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tflite_odl.contract import UNLABELLED, TensorSpec
from tflite_odl.errors import ContractError
from tflite_odl.methods.base import Method, Trial
from tflite_odl.proof.references.losses import KERAS_LOSSES
from tflite_odl.proof.references.supervised import Batch

Sample = tuple[np.ndarray | Mapping[str, np.ndarray], np.ndarray]
Rows = dict[str, np.ndarray]


def batch(
    method: Method,
    batch_size: int,
    trial: Trial,
    sample: Sample | None = None,
    seed: int = 0,
) -> Batch:
    """Returns a batch of a trial's kind: full (0), padded (1), with bad rows (2).

    Args:
      method: gives the inputs and what labels are.
      batch_size: rows of a batch.
      trial: which batch it needs.
      sample: (x [N, ...] or {input name: [N, ...]}, y [N, ...]) to draw rows from; else
        random ones.
      seed: of the draw.

    Raises:
      ContractError: the sample does not fit the train signature.
    """
    rng = np.random.default_rng([seed, trial.kind])
    specs = {spec.name: spec for spec in method.inputs(batch_size)}
    if sample:
        rows = _from_sample(method, sample, rng, batch_size)
    else:
        rows = {part.name: _random(part, rng, batch_size) for part in method.features}
        rows["y"] = _labels(specs["y"], method.num_classes, rng)
    if "weight" in specs:
        rows["weight"] = rng.uniform(0.5, 2.0, batch_size).astype(np.float32)
    count = np.array([batch_size], np.int32)
    if trial.kind == 1:
        count[0] = max(1, batch_size - batch_size // 4)
        for name in rows.keys() - {"y"}:
            rows[name][count[0] :] = 0
    if trial.kind == 2:
        _spoil(method, rows, batch_size)
    y, weight = rows.pop("y"), rows.pop("weight", None)
    if trial.labelled is not None:
        y[trial.labelled :] = UNLABELLED if y.dtype.kind == "i" else np.nan
    return Batch(rows, y, count, weight)


def bad_labels(method: Method, y: np.ndarray) -> np.ndarray:
    """Returns labels of the same shape of which none is valid."""
    return np.full_like(y, KERAS_LOSSES[method.config.loss].bad_label)


def _spoil(method: Method, rows: Rows, batch_size: int) -> None:
    """Makes the last row unlabelled and those before it bad, each in another way."""
    y = rows["y"]
    if batch_size > 2:
        y[-1] = UNLABELLED if y.dtype.kind == "i" else np.nan
        y[-2:-1] = bad_labels(method, y[-2:-1])
    floats = [rows[p.name] for p in method.features if rows[p.name].dtype == np.float32]
    for number, x in enumerate(floats):
        if batch_size > 3 + number:
            x[-3 - number].flat[0] = np.nan
    if batch_size > 3 + len(floats) and "weight" in rows:
        rows["weight"][-3 - len(floats)] = -1


def _from_sample(
    method: Method, sample: Sample, rng: np.random.Generator, count: int
) -> Rows:
    x, y = sample
    parts = dict(x) if isinstance(x, Mapping) else {method.features[0].name: x}
    given = {name: np.asarray(value) for name, value in {**parts, "y": y}.items()}
    specs = {s.name: s for s in method.inputs(1) if s.name not in ("count", "weight")}
    if given["y"].dtype.kind in "iu":
        given["y"] = given["y"].astype(specs["y"].dtype)
    fits = given.keys() == specs.keys() and all(
        given[name].shape[1:] == spec.shape[1:] and given[name].dtype == spec.dtype
        for name, spec in specs.items()
    )
    if not fits or len({len(value) for value in given.values()}) > 1:
        wanted = [f"{n} {list(s.shape[1:])} {s.dtype}" for n, s in specs.items()]
        found = [f"{n} {list(v.shape)} {v.dtype}" for n, v in given.items()]
        raise ContractError(
            f"the sample needs N rows of {', '.join(wanted)}, got {', '.join(found)}"
        )
    total = len(given["y"])
    # Without replacement: equal rows would tie where a method ranks them.
    chosen = rng.choice(total, count, replace=count > total)
    return {name: value[chosen] for name, value in given.items()}


def _random(part, rng: np.random.Generator, rows: int) -> np.ndarray:
    shape, settings = (rows, *part.shape), part.preprocessing
    if settings.dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    x = (rng.normal(size=shape) - settings.offset) / settings.scale
    return x.astype(np.float32)


def _labels(spec: TensorSpec, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Returns class numbers, or 0 and 1, which are targets of a regression as well."""
    if spec.dtype == "int32":
        return rng.integers(0, classes, spec.shape).astype(np.int32)
    return rng.integers(0, 2, spec.shape).astype(np.float32)
