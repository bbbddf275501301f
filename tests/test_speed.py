"""The speed suite's rules: who is measured again, who is quoted. No engine runs."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools" / "speed"))
import agreement
import cases
import environments
import figures
import nets
import page
import processes
import sources
import suite

CASE = "resnet8-b16"


def record(engine: str, number: int, ms: float, losses=(2.0, 1.5, 1.0)) -> dict:
    made = {"case": CASE, "threads": 2, "engine": engine, "round": number, "ms": ms}
    sizes = {"memory_mb": 50.0, "runtime_mb": 60.0, "others": 0.0}
    twins = {"twin_losses": [[2.0, 1.51]]} if engine == "tf.function" else {}
    return {**made, **sizes, **twins, "losses": list(losses)}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Returns (stamps, commands that ran, a function that runs a two-round study)."""
    stamps, ran = {(CASE, e.name): "first" for e in environments.ENGINES}, []

    def measure(command):
        ran.append(pathlib.Path(command[1]).stem)
        if ran[-1] == "engine_mnn":
            raise processes.Failed("out of memory")
        return {"ms": float(len(ran))}

    def python(folder, name, packages, say):
        if name == "pytorch":
            raise OSError("no matching distribution")
        return "python"

    def prepare(folder, names, pythons, skipped, say):
        return {key: stamp for key, stamp in stamps.items() if key[1] in pythons}

    monkeypatch.setattr(suite, "python", python)
    monkeypatch.setattr(sources, "prepare", prepare)
    monkeypatch.setattr(processes, "measure", measure)

    def run(minutes=10.0):
        plan = suite.Plan((CASE,), (2,), 2, 0.0, minutes)
        return suite.run(tmp_path, plan, lambda text: None)

    return stamps, ran, run


def test_missing_and_failing_engines_are_named_and_stop_nothing(study):
    _, ran, run = study
    results = run()
    expected = {"PyTorch": "no matching distribution", f"{CASE}, MNN": "out of memory"}
    assert results.skipped == expected
    assert ran.count("engine_mnn") == 1 and ran.count("engine_flex") == 2
    left = [e.name for e in environments.ENGINES if e.name not in ("PyTorch", "MNN")]
    order = [(r["round"], r["engine"]) for r in results.records]
    assert order == [(number, name) for number in range(2) for name in left]


def test_only_what_changed_is_measured_again(study):
    stamps, ran, run = study
    before = run()
    ran.clear()
    stamps[CASE, "ours"] = "another artifact"
    after = run()
    assert ran == ["engine_ours", "engine_mnn", "engine_ours"]  # failures are retried
    same = [r for r in after.records if r["engine"] != "ours"]
    assert same == [r for r in before.records if r["engine"] != "ours"]
    assert {r["stamp"] for r in after.records} == {"first", "another artifact"}


def test_out_of_time_a_run_ends_after_a_round_and_goes_on_when_run_again(study):
    _, ran, run = study
    results = run(minutes=-1.0)
    assert {r["round"] for r in results.records} == {0}
    assert "no time" in results.skipped["further rounds"]
    ran.clear()
    assert {r["round"] for r in run().records} == {0, 1}
    assert ran.count("engine_flex") == 1


@pytest.mark.parametrize(
    "losses, holds",
    [
        ((2.0001, 1.53, 1.0), True),  # within four times the twin's distance
        ((2.0, 1.55, 1.0), False),  # another gradient
        ((2.001, 1.5, 1.0), False),  # another net: no chaos before the first update
        ((2.0, 1.5, 2.0), False),  # does not learn
        ((2.0, float("nan"), 1.0), False),
    ],
)
def test_losses_must_be_tensorflows(losses, holds):
    records = [record("tf.function", 0, 10.0), record("MNN", 0, 5.0, losses)]
    assert agreement.agreements(records)[CASE, "MNN"].holds == holds


def test_a_peer_that_does_other_work_is_marked_and_not_quoted():
    records = [
        record("ours", 0, 20.0),
        record("tf.function", 0, 10.0),
        record("MNN", 0, 4.321, (2.0, 2.0, 2.0)),
    ]
    results = {"records": records, "overhead": [], "machine": "", "skipped": {"X": "y"}}
    text = page.page(results, "command")
    assert f"| {CASE} | 20.0 | 10.0 (2.00) | no match |" in text
    assert "4.32" not in text and "- X: y" in text


def test_a_page_without_records_says_why():
    results = {"records": [], "overhead": [], "machine": "", "skipped": {"X": "y"}}
    assert "- X: y" in page.page(results, "command")


def test_ratios_compare_the_better_plan_within_a_round():
    times = {"ours": (20.0, 90.0), "ours, avx512": (24.0, 60.0), "MNN": (40.0, 100.0)}
    found = figures.Figures(
        [record(e, n, ms) for e, each in times.items() for n, ms in enumerate(each)]
    )
    assert found.ratio(CASE, 2, "MNN") == pytest.approx((20 / 40 + 60 / 100) / 2)
    assert found.least("ms", CASE, 2, "MNN") == 40.0


def test_a_net_file_gives_keras_its_weights_back(tmp_path):
    case, path = cases.CASES["inertial-b8"], str(tmp_path / "net.npz")
    nets.write(case.net, path)
    layers, weights = nets.read(path)
    assert weights["l1_conv/0"].shape == (5, 1, 6, 32)
    assert [layer["out"] for layer in layers[3:5]] == [[64, 1, 32], [64, 1, 64]]
    model = nets.keras_model(case, path)
    np.testing.assert_array_equal(
        model.get_layer("l2_conv").get_weights()[0], weights["l2_conv/0"][:, 0]
    )
    macs = (128 * 6 * 32 + 64 * 32 * 64 + 32 * 64 * 64) * 5 + 64 * 10
    assert nets.product_flops(path, 8) == 2 * 8 * (3 * macs - 128 * 6 * 32 * 5)
