"""Ours through LiteRT: engine_ours.py CASE THREADS SECONDS NET TARGET.

0 seconds export the artifact, beside the net, the others measure it. The portable one
comes first: another target's is a copy of it where their plans are the same.
"""

import json
import pathlib
import shutil

import cases
import measuring

from tflite_odl.host.session import Session


def main(name: str, threads: int, seconds: float, net: str, target: str) -> None:
    case = cases.CASES[name]
    artifact = pathlib.Path(net).with_name(f"{name}.{target}")
    if not seconds:
        return export(case, net, target, artifact)
    before = measuring.resident_mb()
    x, y = cases.data(case)
    with Session(artifact, threads=threads) as session:
        result = measuring.measure(
            lambda: session.train(x=x, y=y)["loss"][0], seconds, before
        )
    return measuring.report(result, "ai-edge-litert", artifact / "model.tflite")


def export(case: cases.Case, net: str, target: str, artifact: pathlib.Path) -> None:
    import nets

    import tflite_odl as odl

    model, rate = nets.keras_model(case, net), cases.LEARNING_RATE
    method = odl.methods.Finetune(
        model, loss="sparse_cross_entropy", learning_rate=rate, target=target
    )
    portable = artifact.with_name(f"{case.name}.portable")
    if target != "portable" and _plan(portable) == method.plan_names():
        shutil.copytree(portable, artifact)
    else:
        odl.export(method, case.batch).save(artifact)


def _plan(artifact: pathlib.Path) -> dict[str, str]:
    return json.loads((artifact / "manifest.json").read_text())["plan"]


if __name__ == "__main__":
    main(*measuring.arguments())
