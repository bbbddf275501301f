"""What is left of contract 1: manifests without roles, checkpoints by another digest.

A manifest of version 1 gave every input its meaning by its name. Its bare files cannot
be told from damaged ones, as no digest is inside; folders can, by manifest.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tflite_odl.contract import names
from tflite_odl.contract.specs import Signature, TensorSpec

if TYPE_CHECKING:
    from tflite_odl.contract.manifest import Manifest

_ROLES = {"y": names.LABEL, "count": names.COUNT, "weight": names.ROW_WEIGHT}
_ROWS = (names.TRAIN, names.INFER, names.EVALUATE)
_SUMS = ("count", "correct")


def with_roles(signatures: Mapping[str, Signature]) -> dict[str, Signature]:
    """Returns the signatures with role, fill and total of what they take and give."""
    found = dict(signatures)
    for name in _ROWS:
        if name in found:
            inputs = tuple(map(_input, found[name].inputs))
            found[name] = dataclasses.replace(found[name], inputs=inputs)
    if names.EVALUATE in found:
        evaluate = found[names.EVALUATE]
        outputs = tuple(map(_output, evaluate.outputs))
        found[names.EVALUATE] = dataclasses.replace(evaluate, outputs=outputs)
    return found


def _input(spec: TensorSpec) -> TensorSpec:
    role = _ROLES.get(spec.name, names.FEATURE)
    fill = {
        names.LABEL: math.nan if spec.dtype == "float32" else names.UNLABELLED,
        names.ROW_WEIGHT: 1.0,
    }.get(role)
    return dataclasses.replace(spec, role=role, fill=fill)


def _output(spec: TensorSpec) -> TensorSpec:
    total = names.SUM if spec.name in _SUMS else names.MEAN
    return dataclasses.replace(spec, total=total)


def note(manifest: Manifest) -> str:
    """Returns what to tell the user of an artifact of version 1, and what to do."""
    return (
        "it follows contract 1, this package writes "
        f"{names.VERSION}: export it again with `python tools/convert.py "
        f"--method={manifest.method.get('name', 'METHOD')} --model=YOUR_MODEL "
        "--out=FOLDER`"
    )


def digest(header: Mapping[str, str], state: Mapping[str, np.ndarray]) -> str:
    """Returns the sha256 of a checkpoint of version 1: over Python's own notation."""
    total = hashlib.sha256()
    facts = {key: value for key, value in header.items() if key != "sha256"}
    total.update(repr(sorted(facts.items())).encode())
    for name in sorted(state):
        value = state[name]
        total.update(f"{name} {value.dtype} {value.shape}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()
