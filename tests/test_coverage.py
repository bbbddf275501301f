"""The coverage suite's rules: what is measured again, what the page says. No export."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import keras
import numpy as np
import pytest
import tf_keras

import tflite_odl as odl

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tools.coverage import cases, models, page, steps, suite
from tools.coverage.designs import DESIGNS, Kit

CASES = ("mlp", "keyword", "VGG16")


def figures(**others) -> dict:
    return {
        "parameters": 4810,
        "train_ops": 134,
        "partitions": [56, 6, 4],
        "breaks": {"CAST": 1},
        "flex_ops": 0,
        "conversion_s": {"convert": 3.4, "prove": 2.0},
        "conversion_cpu_s": 5.0,
        "conversion_mb": 658.3,
        "error": 1.2e-7,
        "tensorflow_error": 1.1e-7,
        "tried": 4,
        "artifact_mb": 0.034,
        "memory_mb": 3.8,
        "ms": 0.03,
        **others,
    }


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Returns (the library's state, names that ran, a function that runs a plan)."""
    library, ran = ["first"], []

    def measure(command, most_seconds):
        ran.append(command[3])
        if ran[-1] == "VGG16":
            raise processes.Failed("exit -9: no message")
        return figures(breaks={"CAST": 1, "ARG_MAX": len(ran[-1])})

    monkeypatch.setattr(processes, "measure", measure)
    monkeypatch.setattr(processes, "fingerprint", lambda: library[0])

    def run(*names, **options):
        ran.clear()
        plan = suite.Plan(names or CASES, **options)
        return suite.run(tmp_path, plan, lambda text: None)

    return library, ran, run


def test_a_row_is_measured_once_for_each_state_of_the_library(study):
    library, ran, run = study
    first = run()
    assert ran == list(CASES)
    assert run() == first and ran == []
    library[0] = "second"
    assert run(keep=True) == first and ran == []
    run("keyword")
    assert ran == ["keyword"]
    run("keyword", again=True)
    assert ran == ["keyword"]
    assert [r["library"] for r in run("keyword")] == ["first", "second", "first"]


def test_a_crash_is_a_row_with_its_cause(study):
    _, _, run = study
    text = page.page({"records": run(), "machine": "", "versions": []}, "command")
    assert "| VGG16 | exit -9: no message |" in text
    assert "mlp, 8 x 64 | 4,810 | 134 | 3, 56 | 0 | 5, 2, 5 |" in text
    assert "1e-07, 1e-07 | 4 |" in text
    assert "Every model: ARG_MAX 3, CAST 1." in text and "ARG_MAX 4: keyword." in text


def test_designs_have_a_table_and_a_cause_for_each_file():
    found = {"error": 2e-7, "limit": 1e-5, "parameters": 65, "seconds": 3.4}
    found["noise"] = ["conv/1"]
    facts = cases.facts("federated_regression")
    records = [
        {"name": "both", "case": facts, "keras": found, "tf_keras": found},
        {"name": "one", "case": facts, "keras": found, "tf_keras": {"cause": "a | b"}},
        {"name": "none", "case": facts, "cause": "no end after 9 s"},
        {"name": "half", "case": facts, "keras": found},
    ]
    for record in records:
        record["library"] = "first"
    text = page.page({"records": records, "machine": "", "versions": []}, "command")
    assert "Of 4 models 1 learn from both files: 3 of Keras 3's files, 1 of" in text
    assert "Of tf_keras's, 1 were not measured." in " ".join(text.split())
    assert "| both, 4 | [structured data and recommenders](https://" in text
    assert "| 2e-07 of 1e-05 (1) | 3 | no |  |" in text
    assert "| one | tf_keras | a / b |" in text and "| none | Keras 3 | no end" in text


def test_every_design_names_its_source_and_can_be_told_from_others():
    assert len(DESIGNS) >= 60
    assert all(d.source.startswith("https://") for d in DESIGNS.values())
    assert len({cases.facts(name)["code"] for name in DESIGNS}) == len(DESIGNS)


@pytest.mark.parametrize("api", [keras, tf_keras])
def test_a_step_of_an_artifact_is_held_against_the_file_s_own_keras(api, tmp_path):
    design = DESIGNS["federated_regression"]
    path = tmp_path / "m.keras"
    design.build(Kit(api)).save(path)
    method = odl.methods.Finetune(odl.load(path))
    folder = odl.export(method, design.batch).save(tmp_path / "artifact")
    rows = steps.batch(design, api.models.load_model(path))
    found = steps.compare(api, path, method, folder, rows)
    assert found["error"] <= found["limit"] and found["loss_error"] <= 1e-5
    # Were the comparison blind, another step would pass.
    other = dataclasses.replace(rows, y=rows.y + 0.01)
    want, have = (
        steps.KerasModel(api, path).step(rows),
        steps.in_artifact(method, folder, other),
    )
    off = [np.abs(have.after[k] - want.after[k]).max() for k in have.after]
    assert max(off) > 1e-5 and abs(have.loss - want.loss) > 1e-5


def test_an_application_without_its_top_gets_a_classifier():
    model = models.build(models.CASES["VGG16"])
    assert isinstance(model.layers[-1], tf_keras.layers.Dense)
    assert model.output_shape == (None, models.CLASSES)
