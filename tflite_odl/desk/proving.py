"""Repeats an artifact's goldens on whatever LiteRT this Python has.

`python -m tflite_odl.desk.proving ARTIFACT RUNTIME THREADS` prints the results as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tflite_odl import contract
from tflite_odl.desk.replay import KINDS
from tflite_odl.errors import OdlError
from tflite_odl.host import bake, goldens
from tflite_odl.host.artifact import Artifact
from tflite_odl.host.runtimes import Runtime

TWIN = "serving twin's infer"
# Relative where outputs are above 1: float32 sums in another order.
ROUNDING = 1e-5
# A float twin's proof has one figure a state, those of fewer bits several.
DISTANCES = ("shipped", "moved", "offset", "most_from_infer")
# Of what the twin was found to differ by when it was proven.
MARGIN = 2.0


def prove(artifact: Artifact, runtime: str, threads: int) -> list[goldens.Result]:
    """Makes the golden calls on a fresh runtime, by its name in `replay.KINDS`; and
    those of `infer` on the serving twin, if there is one."""
    kind = KINDS[runtime]
    with kind(artifact.model, artifact.manifest, threads) as opened:
        if contract.SERVING_FILE not in artifact.manifest.files:
            return goldens.check(opened, artifact)
        served, manifest = bake.shipped(artifact), bake.manifest_of(artifact.manifest)
        with kind(served, manifest, threads) as twin:
            # From the shipped state, which golden calls leave.
            found = _twin(opened, twin, artifact)
            return [*goldens.check(opened, artifact), *found]


def _twin(runtime: Runtime, twin: Runtime, artifact: Artifact) -> list[goldens.Result]:
    """Holds the twin's answers against those of the artifact's `infer`."""
    figures = dict(_figures(artifact.manifest.proofs.get("serving_twin", {})))
    discrete = any("/offset" in place for place in figures)
    known = MARGIN * max(figures.values(), default=0.0)
    results = []
    for number, inputs in enumerate(goldens.inputs(artifact, contract.INFER)):
        expected = runtime.run(contract.INFER, inputs)
        for name, found in twin.run(contract.INFER, inputs).items():
            size = np.nanmax(np.abs(expected[name]), initial=1.0)
            limit = max(known, ROUNDING * float(size))
            same = np.isnan(found) & np.isnan(expected[name])
            error = np.where(same, 0.0, np.abs(found - expected[name])).max()
            reason = "the twin answers what infer does, up to its encoding"
            if discrete:
                # A sum at the edge of a level may fall either way.
                limit, reason = np.inf, "activations take few levels: it runs"
            about = (TWIN, name, float(error), bool(error <= limit), reason)
            results.append(goldens.Result(number, *about))
    return results


def _figures(proof: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yields (where it stands, value) of what a proof says of the distance to infer."""
    for name, part in proof.items():
        if isinstance(part, dict):
            yield from _figures(part, f"{path}/{name}")
        elif isinstance(part, float) and name in DISTANCES:
            yield f"{path}/{name}", part


if __name__ == "__main__":
    try:
        found = prove(Artifact.open(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except OdlError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps([dataclasses.asdict(result) for result in found]))
