"""Outputs of several calls added up, as each output's `total` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tflite_odl.contract import Signature
from tflite_odl.contract.names import COUNT, MEAN, SUM


def total(
    signature: Signature, calls: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Returns what the calls say together; a number for each output of one element.

    An output of total "sum" is added up; one of total "mean" is averaged, each call
    weighing by its output `count`; a call that counts nothing adds nothing, and without
    any row a mean is 0. Outputs without a total are left out.
    """
    specs = [spec for spec in signature.outputs if spec.total]
    sums = {spec.name: np.zeros(spec.shape) for spec in specs}
    for outputs in calls:
        count = int(outputs[COUNT][0]) if COUNT in outputs else 1
        for spec in specs if count else ():
            factor = count if spec.total == MEAN else 1
            sums[spec.name] += np.float64(outputs[spec.name]) * factor
    rows = max(float(sums[COUNT][0]), 1.0) if COUNT in sums else 1.0
    found = {}
    for spec in specs:
        value = sums[spec.name] / (rows if spec.total == MEAN else 1.0)
        whole = spec.total == SUM and spec.dtype != "float32"
        value = value.astype(np.int64) if whole else value
        found[spec.name] = value.item() if value.size == 1 else value
    return found
