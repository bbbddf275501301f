"""The coverage suite's rules: what is measured again, what the page says. No export."""

from __future__ import annotations

import pathlib
import sys

import pytest
import tf_keras

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import processes

from tools.coverage import models, page, suite

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


def test_an_application_without_its_top_gets_a_classifier():
    model = models.build(models.CASES["VGG16"])
    assert isinstance(model.layers[-1], tf_keras.layers.Dense)
    assert model.output_shape == (None, models.CLASSES)
