"""One net with each of its faults: python -m tools.gate.measure NAME

Prints what the gate said of each as a JSON line. The caches are left out of it.
"""

from __future__ import annotations

import json
import sys
import time

import tflite_odl as odl
from tflite_odl.exporter import build, export, layers
from tflite_odl.proof import layers as by_themselves
from tflite_odl.proof.cache import Cache
from tflite_odl.proof.candidate import ParityError
from tools.gate import cases


def main(name: str) -> None:
    case = cases.CASES[name]
    method = odl.methods.Finetune(
        case.make(), loss="sparse_cross_entropy", learning_rate=0.01
    )
    records = [_tried(method, case, None)]
    records += [_tried(method, case, fault) for fault in case.faults(name)]
    print(json.dumps({"records": records}), flush=True)


def _tried(method, case: cases.Case, fault) -> dict:
    """Returns what became of the artifact: which check refused it, and the seconds."""
    if fault is None:
        model, manifest = build.build(method, case.batch, 1)
    else:
        with fault.put_in():
            model, manifest = build.build(method, case.batch, 1)
    begin = time.perf_counter()
    record = {"fault": fault.name if fault else "", "rows": case.batch}
    try:
        proofs = export.proven(method.proof(), model, manifest, method, case.batch)
        record |= {"refused": "", **proofs["batches"]}
    except ParityError as error:
        record["refused"] = str(error)
    record["gate_s"] = time.perf_counter() - begin
    record["layers"] = _alone(method, case, fault)
    return record


def _alone(method, case: cases.Case, fault) -> str:
    """Returns what the layers by themselves say, made with the fault as well."""
    distinct = list(method.proof().layers(case.batch))
    try:
        if fault is None:
            by_themselves.prove(distinct, layers.converted, Cache(None))
        else:
            with fault.put_in():
                by_themselves.prove(distinct, layers.converted, Cache(None))
    except ParityError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
